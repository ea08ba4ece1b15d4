import type { ScrubAction, ScrubRule } from '../../api/scrub';

/** A rule as a form holds it: lists are texts with one item a line. */
export interface Draft {
  name: string;
  description: string;
  order: string;
  keys: string;
  paths: string;
  pattern: string;
  detectors: string[];
  services: string;
  action: ScrubAction;
  mode: 'on' | 'count' | 'off';
}

/** The form of a rule; of a new one without a rule. */
export function draftOf(rule?: ScrubRule): Draft {
  const lines = (list: string[] | undefined): string => (list ?? []).join('\n');
  return {
    name: rule?.Name ?? '',
    description: rule?.Description ?? '',
    order: String(rule?.Order ?? 100),
    keys: lines(rule?.Keys),
    paths: lines(rule?.Paths),
    pattern: rule?.Pattern ?? '',
    detectors: rule?.Detectors ?? [],
    services: lines(rule?.Services),
    action: rule?.Action ?? 'mask',
    mode: rule?.Disabled ? 'off' : rule?.DryRun ? 'count' : 'on',
  };
}

/**
 * The rule of a form. Of a default rule only the action and the state can change. An order
 * that is no whole number becomes -1, so that the server says what is wrong.
 */
export function ruleOf(draft: Draft, isDefault: boolean): ScrubRule {
  const state = { ...(draft.mode === 'count' ? { DryRun: true } : {}), ...(draft.mode === 'off' ? { Disabled: true } : {}) };
  const order = /^\s*\d{1,7}\s*$/.test(draft.order) ? Number(draft.order) : -1;
  if (isDefault) {
    return { Name: draft.name, Order: order, Action: draft.action, ...state };
  }
  const items = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  return {
    Name: draft.name.trim(),
    Order: order,
    Action: draft.action,
    ...(draft.description.trim() ? { Description: draft.description.trim() } : {}),
    ...(items(draft.keys).length > 0 ? { Keys: items(draft.keys) } : {}),
    ...(items(draft.paths).length > 0 ? { Paths: items(draft.paths) } : {}),
    ...(draft.pattern ? { Pattern: draft.pattern } : {}),
    ...(draft.detectors.length > 0 ? { Detectors: draft.detectors } : {}),
    ...(items(draft.services).length > 0 ? { Services: items(draft.services) } : {}),
    ...state,
  };
}
