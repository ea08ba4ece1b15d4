import { describe, expect, it } from 'vitest';
import { addClause, annotationFilter, edgeFilter, errorPosition, keywordFilter, serviceFilter } from './filter';

describe('serviceFilter and edgeFilter', () => {
  it('name the node by id, with its type when it has one', () => {
    expect(serviceFilter({ name: 'api', type: 'AWS::EC2::Instance' })).toBe('service(id(name: "api", type: "AWS::EC2::Instance"))');
    expect(serviceFilter({ name: 'a "b"', type: null })).toBe('service(id(name: "a \\"b\\""))');
  });

  it('put outcomes and response times into the body', () => {
    const node = { name: 'n', type: 't' };
    expect(serviceFilter(node, { outcomes: ['fault'] })).toBe('service(id(name: "n", type: "t")) { fault }');
    expect(serviceFilter(node, { outcomes: ['fault', 'error'] })).toBe('service(id(name: "n", type: "t")) { fault OR error }');
    expect(serviceFilter(node, { outcomes: ['fault', 'error'], responseTime: { from: 0.1, to: 0.30000000000000004 } })).toBe(
      'service(id(name: "n", type: "t")) { (fault OR error) AND responsetime >= 0.1 AND responsetime <= 0.3 }',
    );
    expect(edgeFilter(node, { name: 'm', type: null }, { outcomes: ['throttle'] })).toBe(
      'edge(id(name: "n", type: "t"), id(name: "m")) { throttle }',
    );
  });

  it('leave the body out when every outcome is wanted', () => {
    expect(serviceFilter({ name: 'n', type: null }, { outcomes: ['ok', 'error', 'fault', 'throttle'] })).toBe('service(id(name: "n"))');
  });
});

describe('annotationFilter and keywordFilter', () => {
  it.each([
    ['plan', 'gold', 'annotation.plan = "gold"'],
    ['order.id', '7', 'annotation[order.id] = "7"'],
    ['odd key', true, 'annotation["odd key"] = true'],
    ['n', 3, 'annotation.n = 3'],
  ])('%s', (key, value, want) => {
    expect(annotationFilter(key, value)).toBe(want);
  });

  it('quotes text, not numbers', () => {
    expect(keywordFilter('http.url', 'http://x/?q="1"')).toBe('http.url = "http://x/?q=\\"1\\""');
    expect(keywordFilter('http.status', 500)).toBe('http.status = 500');
  });
});

describe('addClause', () => {
  it.each([
    ['', 'fault', 'fault'],
    ['  ', 'fault', 'fault'],
    ['fault', 'fault', 'fault'],
    ['a AND fault', 'fault', 'a AND fault'],
    ['error', 'fault', 'error AND fault'],
    ['error OR throttle', 'fault', '(error OR throttle) AND fault'],
    ['service("x OR y")', 'fault', 'service("x OR y") AND fault'],
    ['service("x") { error OR fault }', 'user', 'service("x") { error OR fault } AND user'],
    ['(error or ok)', 'user', '(error or ok) AND user'],
  ])('%j and %j', (before, clause, want) => {
    expect(addClause(before, clause)).toBe(want);
  });
});

describe('errorPosition', () => {
  it('finds line and position', () => {
    expect(errorPosition("Error Location: line 1, position 48 : Invalid input symbol: 'ma'")).toEqual({ line: 1, position: 48 });
    expect(errorPosition('Something else')).toBeNull();
  });
});
