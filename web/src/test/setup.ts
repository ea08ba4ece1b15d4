import { cleanup } from '@testing-library/react';
import { afterEach, beforeEach, vi } from 'vitest';

/** happy-dom computes no layout: give every element this size, so that lists show rows and drawings have room. */
const size = { width: 1000, height: 600 };

class FixedResizeObserver implements ResizeObserver {
  constructor(private readonly callback: ResizeObserverCallback) {}
  observe(target: Element): void {
    const box = [{ inlineSize: size.width, blockSize: size.height }];
    this.callback([{ target, contentRect: size, contentBoxSize: box, borderBoxSize: box } as unknown as ResizeObserverEntry], this);
  }
  unobserve(): void {}
  disconnect(): void {}
}

Object.assign(globalThis, { ResizeObserver: FixedResizeObserver, IS_REACT_ACT_ENVIRONMENT: true });
Object.defineProperties(HTMLElement.prototype, {
  clientWidth: { configurable: true, get: () => size.width },
  clientHeight: { configurable: true, get: () => size.height },
});

// happy-dom lacks HTMLTableSectionElement.rows, and does not scroll.
Object.defineProperty(HTMLTableSectionElement.prototype, 'rows', {
  configurable: true,
  get(this: HTMLTableSectionElement) {
    return this.querySelectorAll(':scope > tr');
  },
});
Element.prototype.scrollIntoView = () => {};

beforeEach(() => {
  localStorage.clear();
  window.location.hash = '';
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});
