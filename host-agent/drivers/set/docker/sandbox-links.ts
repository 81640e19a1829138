import { readFile, readlink, writeFile } from 'node:fs/promises'
import { PlatformError } from '@nubo/base'
import { run } from '@nubo/runtime/process'
import type { SetInterfaceSpec } from '../set-driver.ts'
import { settleAll } from '../settle-all.ts'
import type { LabelledLink } from './labels.ts'

/** `ip` takes about 4 ms here; a machine that cannot do it in this time has other troubles. */
const PROGRAM_TIMEOUT_MS = 15_000

/**
 * The network interfaces of a set: veth pairs, one end inside, one in the agent's own network namespace, where the
 * switch takes it. All of a set's are made by an `ip -batch`, run inside, so that nothing has to be moved: moving a
 * link between namespaces waits about 25 ms for the kernel, creating it in place does not.
 */
export class SandboxLinks {
  /**
   * Makes the links of a set whose pause process is `pid`, and only then the route, by which `areComplete` knows
   * that the rest is there. Idempotent: what an earlier call left is replaced.
   */
  async connect(pid: number, interfaces: readonly SetInterfaceSpec[]): Promise<void> {
    if (interfaces.length === 0) return
    const netns = await foreignNamespace(pid)
    // First, because an inner end goes with its outer one.
    await this.remove(interfaces.map((link) => link.hostInterface))
    const inside = await linksSeenBy(String(pid))
    const made = interfaces.flatMap((link) => [
      ...(inside.has(link.name) ? [`link delete dev ${link.name}`] : []),
      ...linesOf(link, process.pid),
    ])
    await ip(netns, made)
    await settleAll(interfaces.map(({ hostInterface }) => leaveIpv6(hostInterface)))
    await settleAll([
      ip(netns, interfaces.flatMap(upLinesOf)),
      this.turnOffloadsOff(
        pid,
        interfaces.map(({ name }) => name),
      ),
    ])
  }

  /**
   * Guests compute their checksums themselves: the userspace switch passes on what it gets, and a checksum left to
   * hardware that is not there makes every TCP connection hang. Idempotent.
   */
  async turnOffloadsOff(pid: number, names: readonly string[]): Promise<void> {
    const netns = await foreignNamespace(pid)
    await settleAll(
      names.map((name) => runOrExplain(['ethtool', '-K', name, 'tx', 'off'], { netns })),
    )
  }

  /** Whether the set has all its links and its route. */
  async areComplete(pid: number, links: readonly LabelledLink[]): Promise<boolean> {
    if (links.length === 0) return true
    const inside = await linksSeenBy(String(pid))
    if (!links.every(({ name }) => inside.has(name))) return false
    const routed = links.filter(({ gateway }) => gateway !== null)
    if (routed.length === 0) return true
    const routes = await readProc(`/proc/${pid}/net/route`)
    return routed.every(({ name, gateway }) =>
      routes.includes(`${name}\t00000000\t${hexOf(gateway ?? '')}\t`),
    )
  }

  /** Removes host ends, and with them the other ends. Idempotent. */
  async remove(hostInterfaces: readonly string[]): Promise<void> {
    const present = await linksSeenBy('self')
    const left = hostInterfaces.filter((name) => present.has(name))
    if (left.length === 0) return
    const input = left.map((name) => `link delete dev ${name}\n`).join('')
    try {
      await run({ argv: ['ip', '-force', '-batch', '-'], input, timeoutMs: PROGRAM_TIMEOUT_MS })
    } catch (cause) {
      // The kernel may have been faster: links end with the namespace of their other end.
      const still = await linksSeenBy('self')
      if (left.some((name) => still.has(name)))
        throw linkError('cannot remove links of the set', cause)
    }
  }
}

function linesOf(link: SetInterfaceSpec, agentPid: number): string[] {
  const { name, hostInterface, mac, mtu, addressWithPrefix } = link
  return [
    // The outer end is the one that is named first, because only that one can come up in the same step.
    `link add name ${hostInterface} up mtu ${mtu} netns ${agentPid} type veth peer name ${name} mtu ${mtu} address ${mac}`,
    `address add ${addressWithPrefix} dev ${name}`,
  ]
}

function upLinesOf({ name, gateway }: SetInterfaceSpec, index: number): string[] {
  return [
    `link set dev ${name} up`,
    ...(index === 0 ? [`route add default via ${gateway} dev ${name} onlink`] : []),
  ]
}

/**
 * The host speaks to no guest: with IPv6 an outer end gets an address that its guest can reach, and routes, at whose change the
 * userspace switch reads all routes anew. Both would come with the inner end's coming up.
 */
async function leaveIpv6(hostInterface: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/net/ipv6/conf/${hostInterface}/disable_ipv6`, '1')
  } catch (cause) {
    // A kernel without IPv6.
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return
    throw linkError('IPv6 could not be turned off for a link of the set', cause)
  }
}

async function ip(netns: string, lines: readonly string[]): Promise<void> {
  await runOrExplain(['ip', '-batch', '-'], { netns, input: `${lines.join('\n')}\n` })
}

/** The namespace of a sandbox, never our own: a pause process that is gone may have left its pid to anybody. */
async function foreignNamespace(pid: number): Promise<string> {
  const path = `/proc/${pid}/ns/net`
  const [theirs, ours] = await Promise.all([
    readlink(path).catch(() => null),
    readlink('/proc/self/ns/net'),
  ])
  if (theirs === null || theirs === ours) {
    throw new PlatformError(
      'NOT_ALLOWED_NOW',
      { pid },
      { message: 'the sandbox of the set has ended' },
    )
  }
  return path
}

/** Names of the links in the namespace of a process. Not from /sys, which shows the namespace of whoever mounted it. */
async function linksSeenBy(pid: string): Promise<ReadonlySet<string>> {
  const text = await readProc(`/proc/${pid}/net/dev`)
  const names = text.split('\n').flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? [])
  return new Set(names)
}

/** Empty if the process has ended. */
async function readProc(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    if (
      error instanceof Error &&
      'code' in error &&
      (error.code === 'ENOENT' || error.code === 'ESRCH')
    )
      return ''
    throw error
  })
}

/** An IPv4 address as /proc/net/route writes it: the 32 bits in the machine's order (little-endian). */
function hexOf(address: string): string {
  return address
    .split('.')
    .toReversed()
    .map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase())
    .join('')
}

async function runOrExplain(
  argv: readonly [string, ...string[]],
  options: { readonly netns: string; readonly input?: string },
): Promise<void> {
  try {
    await run({ argv, timeoutMs: PROGRAM_TIMEOUT_MS, ...options })
  } catch (cause) {
    throw linkError('the network of the set could not be made', cause)
  }
}

function linkError(message: string, cause: unknown): PlatformError {
  return new PlatformError('CONTAINER_START_FAILED', {}, { message, cause })
}
