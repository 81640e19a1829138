import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Binding } from '../index.ts'

const run = promisify(execFile)
const COMMAND_TIMEOUT_MS = 10_000

/** Two network namespaces with a cable between them: a server with its address, a client that has only its MAC. */
export interface ClientLink {
  readonly serverNamespace: string
  readonly clientNamespace: string
  /** `ip` in the namespace of the client. */
  readonly inClient: (...args: string[]) => Promise<string>
  readonly remove: () => Promise<void>
}

export const CLIENT_INTERFACE = 'eth0'

async function ip(...args: string[]): Promise<string> {
  return (await run('ip', args, { timeout: COMMAND_TIMEOUT_MS })).stdout
}

/** Needs root. The names begin with `prefix`, which must be the caller's own. */
export async function makeClientLink(prefix: string, binding: Binding): Promise<ClientLink> {
  const serverNamespace = `${prefix}-s`
  const clientNamespace = `${prefix}-c`
  const made: string[] = []
  const remove = async (): Promise<void> => {
    for (const namespace of made.splice(0)) await ip('netns', 'del', namespace)
  }
  try {
    for (const namespace of [serverNamespace, clientNamespace]) {
      await ip('netns', 'add', namespace)
      made.push(namespace)
    }
    const onServer = (...args: string[]): Promise<string> => ip('-n', serverNamespace, ...args)
    const inClient = (...args: string[]): Promise<string> => ip('-n', clientNamespace, ...args)
    const peer = ['peer', 'name', CLIENT_INTERFACE, 'address', binding.mac]
    await onServer('link', 'add', 'dhcp0', 'type', 'veth', ...peer, 'netns', clientNamespace)
    await onServer('addr', 'add', `${binding.serverId}/${binding.prefixLength}`, 'dev', 'dhcp0')
    await onServer('link', 'set', 'dhcp0', 'up')
    await inClient('link', 'set', 'lo', 'up')
    await inClient('link', 'set', CLIENT_INTERFACE, 'up')
    await onServer('route', 'add', '255.255.255.255', 'dev', 'dhcp0')
    // A client without an address answers no ARP; a server with raw frames needs none.
    const neighbour = [binding.address, 'lladdr', binding.mac, 'dev', 'dhcp0', 'nud', 'permanent']
    await onServer('neigh', 'add', ...neighbour)
    return { serverNamespace, clientNamespace, inClient, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
