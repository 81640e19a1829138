import { readFile } from 'node:fs/promises'
import { PlatformError } from '@nubo/base'
import { run } from '@nubo/runtime/process'
import { z } from 'zod'
import type { VmInterfaceSpec } from '../vm-driver.ts'

const TIMEOUT_MS = 20_000

/** What `ip -details -json link show` says of a tap, as far as it is looked at. */
const tapAnswer = z.array(
  z.object({
    linkinfo: z
      .object({
        info_kind: z.string().optional(),
        info_data: z
          .object({
            type: z.string().optional(),
            // A number, unless somebody has given the account a name.
            user: z.union([z.number(), z.string()]).optional(),
          })
          .optional(),
      })
      .optional(),
  }),
)

/**
 * Persistent taps in the network namespace of the driver: they belong to an account, so that QEMU attaches without rights,
 * and stay between runs, so that the switch keeps its ports.
 */

/** Makes the taps, up, each for the account; a tap of another account is replaced. Idempotent. */
export async function ensureTaps(links: readonly VmInterfaceSpec[], uid: number): Promise<void> {
  if (links.length === 0) return
  const names = links.map(({ hostInterface }) => hostInterface)
  const kept = new Set<string>()
  for (const name of await presentLinks(names)) if ((await ownerOf(name)) === uid) kept.add(name)
  await removeTaps(names.filter((name) => !kept.has(name)))
  const lines = links.flatMap(({ hostInterface: name, mtuBytes }) => [
    // It refuses a tap that is there.
    ...(kept.has(name) ? [] : [`tuntap add dev ${name} mode tap user ${uid}`]),
    // Nothing of the host's own speaks on the link of a guest.
    `link set dev ${name} mtu ${mtuBytes} addrgenmode none`,
    `link set dev ${name} up`,
  ])
  try {
    await run({ argv: ['ip', '-batch', '-'], input: lines.join('\n'), timeoutMs: TIMEOUT_MS })
  } catch (cause) {
    throw new PlatformError(
      'VM_START_FAILED',
      { taps: names },
      { message: `a tap could not be made (${names.join(', ')})`, cause },
    )
  }
}

/** Whose tap the link is; null for a link of any other kind, which nothing here touches. */
async function ownerOf(name: string): Promise<number | string | null> {
  const { stdout } = await run({
    argv: ['ip', '-details', '-json', 'link', 'show', 'dev', name],
    timeoutMs: TIMEOUT_MS,
  })
  const [link] = tapAnswer.parse(JSON.parse(stdout))
  const { info_kind: kind, info_data: tap } = link?.linkinfo ?? {}
  return kind === 'tun' && tap?.type === 'tap' ? (tap.user ?? 'nobody') : null
}

/** Removes those of the names that are taps. Idempotent. Nothing may be attached to them. */
export async function removeTaps(names: readonly string[]): Promise<void> {
  const present: string[] = []
  for (const name of await presentLinks(names))
    if ((await ownerOf(name)) !== null) present.push(name)
  if (present.length === 0) return
  const input = present.map((name) => `tuntap del dev ${name} mode tap`).join('\n')
  try {
    // With -force, the others go even if one does not.
    await run({ argv: ['ip', '-force', '-batch', '-'], input, timeoutMs: TIMEOUT_MS })
  } catch (cause) {
    const left = await presentLinks(present)
    if (left.length === 0) return
    throw new PlatformError(
      'IN_USE',
      { taps: left },
      { message: `taps of the VM cannot be removed: ${left.join(', ')}`, cause },
    )
  }
}

/** Which of the names are links of this network namespace; /sys would show those of the namespace that mounted it. */
export async function presentLinks(names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return []
  const text = await readFile('/proc/self/net/dev', 'latin1')
  const links = new Set(text.split('\n').map((line) => line.split(':')[0]?.trim()))
  return names.filter((name) => links.has(name))
}
