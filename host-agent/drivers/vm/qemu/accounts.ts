import { PlatformError } from '@nubo/base'
import type { Argv } from '@nubo/runtime/process'

/** The first number is the driver's own, for programs that belong to no VM. */
export interface AccountRange {
  readonly base: number
  readonly count: number
}

/** Which VM has which account number. A number is given again only after its VM was removed. */
export class Accounts {
  readonly #range: AccountRange
  readonly #uids = new Map<string, number>()

  constructor(range: AccountRange) {
    this.#range = range
  }

  /** One that is recorded already. */
  keep(vmId: string, uid: number): void {
    this.#uids.set(vmId, uid)
  }

  /** The VM's number, or a free one, which is then its. Throws VM_START_FAILED when none is free. */
  of(vmId: string): number {
    const own = this.#uids.get(vmId)
    if (own !== undefined) return own
    const taken = new Set(this.#uids.values())
    const { base, count } = this.#range
    for (let uid = base + 1; uid < base + count; uid += 1) {
      if (taken.has(uid)) continue
      this.#uids.set(vmId, uid)
      return uid
    }
    throw new PlatformError(
      'VM_START_FAILED',
      { limit: count - 1, next: 'remove VMs, or give the host more account numbers' },
      { message: `all ${count - 1} account numbers of the host are taken by its VMs` },
    )
  }

  release(vmId: string): void {
    this.#uids.delete(vmId)
  }
}

/**
 * The program as an account without any rights, which it cannot get back. `group`: one that it needs for a device.
 * It goes on when its parent ends.
 */
export function unprivileged(uid: number, argv: Argv, group: number | null = null): Argv {
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${uid}`,
    group === null ? '--clear-groups' : `--groups=${group}`,
    '--no-new-privs',
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--pdeathsig=clear',
    '--',
    ...argv,
  ]
}
