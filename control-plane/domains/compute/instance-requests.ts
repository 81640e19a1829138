import { PlatformError, type Clock, type ProjectId, type Random } from '@nubo/base'
import {
  kindOf,
  type InstanceKind,
  type InstanceRow,
  type OperationRow,
  type PortRow,
  type World,
} from '../../world/index.ts'
import { nameTaken } from '../identity/index.ts'
import type { NetworkService } from '../network/index.ts'
import { newOperation } from '../operations/index.ts'
import type { Creation, InstanceWrite } from './wanted-writes.ts'

/** What is asked of sets and VMs in the same way: to be made with a port, started, stopped, removed. */

export interface RequestDeps {
  readonly world: World
  readonly clock: Clock
  readonly random: Random
  readonly network: NetworkService
  readonly record: (write: InstanceWrite) => Promise<void>
}

interface AttachmentAsked {
  readonly network: string
  readonly subnet?: string | undefined
  readonly address?: string | undefined
  readonly port?: string | undefined
}

/** Its port: a free one that was named, or a new one drawn here, which gets its address as it is recorded. */
function portOf(
  { network }: RequestDeps,
  { row, attachment: asked }: { row: InstanceRow; attachment: AttachmentAsked },
): Creation['port'] {
  const project: ProjectId = row.projectId
  if (asked.port !== undefined) {
    const port: PortRow = network.findPort(project, asked.port)
    if (port.networkId !== network.findNetwork(project, asked.network).id) {
      throw new PlatformError(
        'INVALID_INPUT',
        { field: 'port' },
        { message: `Port ${port.name} is in another network.` },
      )
    }
    return port
  }
  const subnet = network.chooseSubnet(project, { network: asked.network, subnet: asked.subnet })
  const owner = 'containers' in row ? { setId: row.id } : { vmId: row.id }
  const port = network.draftPort(subnet, { name: portName(row), ...owner, ownedBySet: true })
  return { port, address: asked.address }
}

const PORT_NAME_CHARACTERS_MAX = 63

/** Ports made with an instance are called after it; where that is too long, its id keeps the names apart. */
function portName({ name: instance, id }: InstanceRow): string {
  const name = `${instance}-eth0`
  if (name.length <= PORT_NAME_CHARACTERS_MAX) return name
  return `${instance.slice(0, 45)}-${id.slice(-12)}-eth0`
}

/** One transaction: the instance, its port, its operation. The world places it next. */
export async function createInstance(
  deps: RequestDeps,
  asked: { row: InstanceRow; attachment: AttachmentAsked },
): Promise<OperationRow> {
  const { row } = asked
  const kind = kindOf(row)
  const port = portOf(deps, asked)
  const operation = newOperation(
    {
      projectId: row.projectId,
      kind: `${kind}.create`,
      resource: { kind, id: row.id, name: row.name },
      generation: 1,
      progress: 'waits to be placed',
      mayCancel: true,
    },
    deps,
  )
  await deps
    .record({ kind: 'create', row, operation, port })
    .catch(nameTaken(kind, row.name))
    .catch(nameTaken('port', portName(row)))
  return deps.world.operation.get(operation.id) ?? operation
}

/** What becomes of `wanted`, and how its operation is called. */
export interface ChangeAsked {
  readonly verb: 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'remove'
  readonly wanted: InstanceRow['wanted']
  readonly progress: string
}

export async function changeInstance(
  deps: RequestDeps,
  row: InstanceRow,
  { verb, wanted, progress }: ChangeAsked,
): Promise<OperationRow> {
  const kind = kindOf(row)
  const operation = newOperation(
    {
      projectId: row.projectId,
      kind: `${kind}.${verb}`,
      resource: { kind, id: row.id, name: row.name },
      generation: 0,
      progress,
      mayCancel: false,
    },
    deps,
  )
  const restart = verb === 'restart'
  await deps.record({ kind: 'change', instance: row, wanted, restart, operation })
  return deps.world.operation.get(operation.id) ?? operation
}

/** By id or name in a project. NOT_FOUND. */
export function findInstance<Row extends InstanceRow>(
  {
    kind,
    byId,
    byName,
  }: {
    kind: InstanceKind
    byId: (id: string) => Row | undefined
    byName: (key: string) => readonly Row[]
  },
  { project, nameOrId, isId }: { project: ProjectId; nameOrId: string; isId: boolean },
): Row {
  const row = isId ? byId(nameOrId) : byName(`${project}/${nameOrId}`)[0]
  if (row === undefined || row.projectId !== project) {
    throw new PlatformError(
      'NOT_FOUND',
      { kind, [kind]: nameOrId },
      { message: `There is no ${kind === 'set' ? 'set' : 'VM'} ${nameOrId} here.` },
    )
  }
  return row
}
