import type { SetSpec } from '../set-driver.ts'

/** On every container of Nubo: the id of its set. */
export const LABEL_SET = 'nubo.set'
const LABEL_EPOCH = 'nubo.epoch'
const LABEL_SPEC_HASH = 'nubo.spec-hash'
/** The container's name in the set; absent on the pause container. */
const LABEL_CONTAINER = 'nubo.container'
/** On the pause container: what its network must have, as JSON. */
const LABEL_LINKS = 'nubo.links'

/** What is remembered of an interface, to see whether it is complete and to remove it. */
export interface LabelledLink {
  readonly name: string
  readonly hostInterface: string
  /** Null where there is no route through it. */
  readonly gateway: string | null
}

/** What the labels of a container say. All that the agent knows of a host after it was restarted. */
export interface SetLabels {
  readonly setId: string
  readonly epoch: number
  readonly specHash: string
  /** Null: the pause container. */
  readonly container: string | null
  readonly links: readonly LabelledLink[]
}

/** Of the container `name` of a set, or of its pause container (null). */
export function labelsOf(spec: SetSpec, name: string | null): Readonly<Record<string, string>> {
  return {
    [LABEL_SET]: spec.setId,
    [LABEL_EPOCH]: String(spec.epoch),
    [LABEL_SPEC_HASH]: spec.specHash,
    ...(name === null
      ? { [LABEL_LINKS]: JSON.stringify(linksOf(spec)) }
      : { [LABEL_CONTAINER]: name }),
  }
}

/** The default route goes through the first interface. */
function linksOf(spec: SetSpec): LabelledLink[] {
  return spec.interfaces.map(({ name, hostInterface, gateway }, index) => ({
    name,
    hostInterface,
    gateway: index === 0 ? gateway : null,
  }))
}

/** Null if the labels are not ours, or not what we write. */
export function readLabels(labels: Readonly<Record<string, string>>): SetLabels | null {
  const setId = labels[LABEL_SET]
  if (setId === undefined || setId === '') return null
  const epoch = Number(labels[LABEL_EPOCH])
  return {
    setId,
    epoch: Number.isSafeInteger(epoch) ? epoch : 0,
    specHash: labels[LABEL_SPEC_HASH] ?? '',
    container: labels[LABEL_CONTAINER] ?? null,
    links: readLinks(labels[LABEL_LINKS]),
  }
}

function readLinks(text: string | undefined): LabelledLink[] {
  if (text === undefined) return []
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return []
  }
  if (!Array.isArray(value)) return []
  return value.flatMap((item: unknown) => {
    if (typeof item !== 'object' || item === null) return []
    const { name, hostInterface, gateway } = item as Record<string, unknown>
    if (typeof name !== 'string' || typeof hostInterface !== 'string') return []
    return [{ name, hostInterface, gateway: typeof gateway === 'string' ? gateway : null }]
  })
}

/** Names in the engine: one container per set and name, so that a second make meets the first. */
export function pauseName(setId: string): string {
  return `nubo-${setId}`
}

export function memberName(setId: string, container: string): string {
  return `nubo-${setId}.${container}`
}
