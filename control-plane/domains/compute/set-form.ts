import { fieldRow, type FieldChange, type SetCreate } from '@nubo/contracts'
import type { SetContainer, SetRow, World } from '../../world/index.ts'

/**
 * What people ask of a set, in names and in one shape, so that what is and what shall be can be compared field by
 * field. Pure.
 */
export interface SetForm {
  readonly network: string
  readonly subnet: string
  readonly address: string
  /** A port that was made before the set; null where it has one of its own. */
  readonly port: string | null
  readonly row: SetRow
}

export type Attachment = Pick<SetForm, 'network' | 'subnet' | 'address' | 'port'>

/** Where a set is attached now. */
export function attachmentOf(world: World, set: SetRow): Attachment {
  const port = world.port.by('instance', set.id).toSorted((a, b) => (a.name < b.name ? -1 : 1))[0]
  return {
    network: world.network.get(port?.networkId)?.name ?? '',
    subnet: world.subnet.get(port?.subnetId)?.name ?? '',
    address: port?.address ?? '',
    port: port === undefined || port.ownedBySet ? null : port.name,
  }
}

/** What is not asked for is as it is: the server chose it. Names or ids are both understood. */
export function attachmentAsked(
  asked: Pick<SetCreate, 'network' | 'subnet' | 'address' | 'port'>,
  now: Attachment,
  nameOf: (kind: 'network' | 'subnet' | 'port', nameOrId: string) => string,
): Attachment {
  const port = asked.port === undefined ? null : nameOf('port', asked.port)
  const isOther = port !== now.port
  return {
    network: nameOf('network', asked.network),
    subnet: asked.subnet === undefined ? now.subnet : nameOf('subnet', asked.subnet),
    address: asked.address ?? now.address,
    port: isOther ? port : now.port,
  }
}

/** A value as people see it. Environments may hold secrets: their values are never told. */
const HIDDEN = '(hidden)'

/** Every field that differs, in the order of the table of fields. */
export function changesOfSet(before: SetForm, after: SetForm, world: World): FieldChange[] {
  const old = fieldsOf(before, world)
  const fresh = fieldsOf(after, world)
  const changes: FieldChange[] = []
  for (const path of new Set([...old.keys(), ...fresh.keys()])) {
    const from = old.get(path) ?? null
    const to = fresh.get(path) ?? null
    if (JSON.stringify(from) === JSON.stringify(to)) continue
    // A container that comes or goes is one change, not one of each of its fields.
    const owner = /^containers\.[^.]+(?=\.)/.exec(path)?.[0]
    if (owner !== undefined && (!old.has(owner) || !fresh.has(owner))) continue
    const row = fieldRow('set', path)
    if (row === undefined) throw new Error(`the table of fields has no row for ${path} of a set`)
    const isSecret = /^containers\.[^.]+\.env\./.test(path)
    const shown = (value: unknown): unknown => (isSecret && value !== null ? HIDDEN : value)
    changes.push({ path, before: shown(from), after: shown(to), effect: row.effect, why: row.why })
  }
  return changes
}

function fieldsOf(form: SetForm, world: World): Map<string, unknown> {
  const { row } = form
  const fields = new Map<string, unknown>([
    ['network', form.network],
    ['subnet', form.subnet],
    ['address', form.address],
    ['port', form.port],
    ['recovery', row.recovery],
    ['cpuMillis', row.cpuMillis],
    ['memoryBytes', row.memoryBytes],
    ['placement.spread', row.placementRule.spread],
    ['priority', row.priority],
  ])
  const { hostId, hostLabels, antiAffinity = null } = row.placementRule
  if (antiAffinity !== null) fields.set('placement.antiAffinity', antiAffinity)
  if (hostId !== null) fields.set('placement.host', world.host.get(hostId)?.name ?? hostId)
  for (const [key, value] of Object.entries(row.labels)) fields.set(`labels.${key}`, value)
  for (const [key, value] of Object.entries(hostLabels))
    fields.set(`placement.hostLabels.${key}`, value)
  for (const container of row.containers) addContainer(fields, container)
  return fields
}

function addContainer(fields: Map<string, unknown>, container: SetContainer): void {
  const at = `containers.${container.name}`
  // Its name stands for one content: an image that a set uses cannot be replaced.
  fields.set(at, container.name)
  fields.set(`${at}.image`, container.imageName)
  for (const key of ['index', 'command', 'cpuMillis', 'memoryBytes', 'stopTimeoutMs'] as const)
    fields.set(`${at}.${key}`, container[key])
  const { healthCheck, restart } = container
  fields.set(
    `${at}.healthCheck`,
    healthCheck === null
      ? null
      : [
          healthCheck.command,
          healthCheck.intervalMs,
          healthCheck.timeoutMs,
          healthCheck.failuresMax,
          healthCheck.startPeriodMs,
        ],
  )
  fields.set(`${at}.restart.policy`, restart.policy)
  fields.set(`${at}.restart.backoffMaxMs`, restart.backoffMaxMs)
  for (const [key, value] of Object.entries(container.env)) fields.set(`${at}.env.${key}`, value)
}

/** Whether a host has to hear of the change. */
export function reachesHost({ path }: FieldChange): boolean {
  return path !== 'priority' && !path.startsWith('labels.') && !path.startsWith('placement.')
}
