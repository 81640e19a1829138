import type { Leadership } from '@nubo/runtime'

interface Holder {
  readonly owner: object
  readonly lost: AbortController
  isHeld: boolean
}

/** One lock that a client holds: the database and the process can learn at different times that it is lost. */
export interface HeldLock {
  isHeld(): boolean
  atDatabase(): void
  atProcess(): void
}

/** Locks that outlive a statement. They are kept here, because all simulated servers share one connection. */
export class AdvisoryLocks {
  readonly #locks = new Map<number, { isShared: boolean; holders: Set<Holder> }>()

  /** Undefined if somebody else holds it. */
  take(owner: object, lockNumber: number, isShared: boolean): Leadership | undefined {
    const lock = this.#locks.get(lockNumber) ?? { isShared, holders: new Set() }
    if (lock.holders.size > 0 && !(lock.isShared && isShared)) return undefined
    lock.isShared = isShared
    this.#locks.set(lockNumber, lock)
    const holder: Holder = { owner, lost: new AbortController(), isHeld: true }
    lock.holders.add(holder)
    return {
      signal: holder.lost.signal,
      release: () => {
        this.#drop(holder)
        holder.lost.abort(new Error('released'))
        return Promise.resolve()
      },
    }
  }

  losersOf(owner: object): HeldLock[] {
    return this.#holdersOf(owner).map((holder) => ({
      isHeld: () => holder.isHeld,
      atDatabase: () => this.#drop(holder),
      atProcess: () => holder.lost.abort(new Error('the connection that held the lock ended')),
    }))
  }

  /** The owner is gone; it learns nothing any more. */
  releaseAll(owner: object): void {
    for (const holder of this.#holdersOf(owner)) this.#drop(holder)
  }

  #holdersOf(owner: object): Holder[] {
    return [...this.#locks.values()].flatMap(({ holders }) =>
      [...holders].filter((holder) => holder.owner === owner),
    )
  }

  #drop(holder: Holder): void {
    holder.isHeld = false
    for (const { holders } of this.#locks.values()) holders.delete(holder)
  }
}
