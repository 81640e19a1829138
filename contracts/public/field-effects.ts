/**
 * What a change of each field of a manifest does to the thing that has it. The one table: plans are made by it, updates
 * refuse by it, and a test holds docs/guides/plan-and-apply.md equal to it. A NEW FIELD NEEDS A ROW HERE; a test says so.
 */
export const fieldEffectTexts = {
  mutable: 'changed in place; nothing stops',
  restarting: 'changed in place; the containers of the set start anew on its host',
  recreating: 'only with --recreate: the thing is removed and created, so it gets another id',
  immutable: 'never changed: remove the thing yourself, or give the new one another name',
} as const
export type FieldEffect = keyof typeof fieldEffectTexts

export const manifestKinds = ['network', 'subnet', 'port', 'image', 'set'] as const
export type ManifestKind = (typeof manifestKinds)[number]

export interface FieldRow {
  readonly kind: ManifestKind
  /** Dotted; `*` stands for one key, the name of a container too. */
  readonly path: string
  readonly effect: FieldEffect
  readonly why: string
}

const row = (kind: ManifestKind, path: string, effect: FieldEffect, why: string): FieldRow => ({
  kind,
  path,
  effect,
  why,
})

const sealed = 'limits and programs are given to a container when it is made'

export const fieldRows: readonly FieldRow[] = [
  row('network', 'cidr', 'immutable', 'its subnets and guests live in the range'),
  row('subnet', 'cidr', 'immutable', 'its guests live in the range'),
  row('port', 'network', 'recreating', 'its address is of that network'),
  row('port', 'subnet', 'recreating', 'its address is of that subnet'),
  row('port', 'address', 'recreating', 'neighbours know it by its address'),
  row('image', 'file', 'immutable', 'a name stands for one content; give new content a new name'),
  row('set', 'labels.*', 'mutable', 'hosts do not know them'),
  row('set', 'recovery', 'mutable', 'counts as soon as its host has heard of it'),
  row('set', 'priority', 'mutable', 'counts when it waits for a host'),
  row('set', 'placement.host', 'mutable', 'counts when it is placed the next time'),
  row('set', 'placement.spread', 'mutable', 'counts when it is placed the next time'),
  row('set', 'placement.antiAffinity', 'mutable', 'counts when it is placed the next time'),
  row('set', 'placement.hostLabels.*', 'mutable', 'counts when it is placed the next time'),
  row('set', 'containers.*.healthCheck', 'mutable', 'the agent checks from outside'),
  row('set', 'containers.*.restart.policy', 'mutable', 'the agent restarts, not the engine'),
  row('set', 'containers.*.restart.backoffMaxMs', 'mutable', 'the agent restarts, not the engine'),
  row('set', 'containers.*', 'restarting', 'the containers of a set start in order'),
  row('set', 'containers.*.index', 'restarting', 'the containers of a set start in order'),
  row('set', 'containers.*.image', 'restarting', sealed),
  row('set', 'containers.*.command', 'restarting', sealed),
  row('set', 'containers.*.env.*', 'restarting', sealed),
  row('set', 'containers.*.cpuMillis', 'restarting', sealed),
  row('set', 'containers.*.memoryBytes', 'restarting', sealed),
  row('set', 'containers.*.stopTimeoutMs', 'restarting', sealed),
  row('set', 'cpuMillis', 'restarting', sealed),
  row('set', 'memoryBytes', 'restarting', sealed),
  row('set', 'network', 'recreating', 'its port is in that network'),
  row('set', 'subnet', 'recreating', 'its port is in that subnet'),
  row('set', 'address', 'recreating', 'neighbours know it by its address'),
  row('set', 'port', 'recreating', 'its address is of that port'),
]

/** The row of a field, as 'containers.web.env.MODE'; undefined for a field that the table does not know. */
export function fieldRow(kind: ManifestKind, path: string): FieldRow | undefined {
  const parts = path.split('.')
  return fieldRows.find((one) => {
    const pattern = one.path.split('.')
    // The last `*` takes the rest: keys of labels may have dots.
    const isOpen = pattern.length > 2 ? pattern.at(-1) === '*' : one.path === 'labels.*'
    return (
      one.kind === kind &&
      (isOpen ? parts.length >= pattern.length : parts.length === pattern.length) &&
      pattern.every((part, at) => part === '*' || part === parts[at])
    )
  })
}
