import { unreachable } from '@nubo/base'
import type { Action, Asking, SetShape } from './action.ts'
import { hostName, serverName } from './plan.ts'

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
const named = (hosts: readonly number[]): string => hosts.map(hostName).join(', ')
const after = (count: number): string => (count === 0 ? '' : ` at its point ${count} from now`)

const by = ({ server, manner }: Asking): string => `, through ${serverName(server)}, ${manner}`

function shapeOf(shape: SetShape): string {
  const pinned = shape.pinnedTo === undefined ? '' : `, on ${hostName(shape.pinnedTo)}`
  return `${shape.recovery}, ${shape.containers} × ${shape.image}, ${shape.memoryMib} MiB, priority ${shape.priority}${pinned}`
}

function manifestText(action: Extract<Action, { do: 'apply' }>): string {
  const { manifest } = action
  const how = [
    ...(action.isChecked ? ['planned'] : []),
    ...(action.prune ? ['prune'] : []),
    ...(action.recreate ? ['recreate'] : []),
  ].map((word) => `, ${word}`)
  const sets = manifest.isEmpty ? 'nothing' : manifest.sets.map(({ name }) => name).join(', ')
  return `${manifest.name} (${sets})${how.join('')}`
}

/** One line for a person. */
export function describe(action: Action): string {
  switch (action.do) {
    case 'create':
      return `create ${action.name} in ${action.subnet}, ${shapeOf(action)}${by(action)}`
    case 'update':
      return `update ${action.name}: ${shapeOf(action)}${action.isChecked ? ', if it is as it was read' : ''}${by(action)}`
    case 'replace':
      return `remove ${action.name}, and create it ${action.waits ? 'once it is gone' : 'at once'} in ${action.subnet}, ${shapeOf(action)}${by(action)}`
    case 'remove':
    case 'stop':
    case 'start':
    case 'restart':
      return `${action.do} ${action.name}${by(action)}`
    case 'apply':
      return `apply ${manifestText(action)}${by(action)}`
    case 'drain':
    case 'maintenance':
    case 'end-maintenance':
    case 'cordon':
    case 'uncordon':
      return `${action.do} ${hostName(action.host)}${by(action)}`
    case 'cancel':
      return `cancel an operation (${action.which})${by(action)}`
    case 'end-container':
      return `a container on ${hostName(action.host)} ends`
    case 'kill-server':
      return `${serverName(action.server)} is killed${after(action.points)}, back after ${seconds(action.downMs)}`
    case 'kill-agent':
      return `the agent of ${hostName(action.host)} is killed${after(action.points)}, back after ${seconds(action.downMs)}`
    case 'pause-server':
      return `${serverName(action.server)} stands still for ${seconds(action.forMs)}`
    case 'pause-agent':
      return `the agent of ${hostName(action.host)} stands still for ${seconds(action.forMs)}`
    case 'break-connections':
      return `connections of ${hostName(action.host)} break`
    case 'cut':
      return `${named(action.hosts)} cut from ${action.server === undefined ? 'all servers' : serverName(action.server)} (${action.way}) for ${seconds(action.forMs)}`
    case 'cut-underlay':
      return `the underlay of ${named(action.hosts)} is cut for ${seconds(action.forMs)}`
    case 'power-off':
      return `${named(action.hosts)} without power for ${seconds(action.offMs)}`
    case 'jump-clock':
      return `the wall clock of a ${action.of} jumps by ${seconds(action.byMs)}`
    case 'full-disk':
      return `the disk of ${hostName(action.host)} is full for ${seconds(action.forMs)}`
    case 'slow-disk':
      return `the disk of ${hostName(action.host)} is slow for ${seconds(action.forMs)}`
    case 'slow-engine':
      return `engine calls on ${hostName(action.host)} take up to ${seconds(action.maxMs)} for ${seconds(action.forMs)}`
    case 'engine-down':
      return `the engine of ${hostName(action.host)} does not answer for ${seconds(action.forMs)}`
    case 'database-restart':
      return `the database restarts, down for ${seconds(action.downMs)}`
    case 'database-cut':
      return `${serverName(action.server)} is cut from the database (${action.how}) for ${seconds(action.forMs)}`
    case 'database-slow':
      return `statements take up to ${action.maxMs} ms for ${seconds(action.forMs)}`
    case 'database-full':
      return `the disk of the database is full for ${seconds(action.forMs)}`
    case 'operator-fences':
      return `an operator says that ${hostName(action.host)} is off, if it is`
    case 'power-control':
      return `power control is ${action.how} for ${seconds(action.forMs)}`
    default:
      return unreachable(action)
  }
}
