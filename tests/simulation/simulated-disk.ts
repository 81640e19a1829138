import { PlatformError, type Random, type VirtualClock } from '@nubo/base'
import { MemoryDisk, type Disk } from '@nubo/host-agent'
import type { SimulatedProcess } from './process.ts'

type Changes = Parameters<Disk['write']>[0]

/**
 * The disk of one machine. It outlives processes and power; what was written without waiting for stable storage may be lost
 * with the power. It can be full, and slow: then the process that writes stands still.
 */
export class SimulatedDisk {
  readonly #base: VirtualClock
  readonly #random: Random
  #now = new MemoryDisk()
  #stable = new MemoryDisk()
  #unstable: Changes[] = []
  #fullUntilMs = 0
  #slowUntilMs = 0

  constructor(base: VirtualClock, random: Random) {
    this.#base = base
    this.#random = random
  }

  fill(forMs: number): void {
    this.#fullUntilMs = this.#base.monotonicMs() + forMs
  }

  slow(forMs: number): void {
    this.#slowUntilMs = this.#base.monotonicMs() + forMs
  }

  heal(): void {
    this.#fullUntilMs = 0
    this.#slowUntilMs = 0
  }

  /** The power went: of the last writes some are lost, the newest first. */
  losePower(): void {
    const kept = Math.floor(this.#random.fraction() * (this.#unstable.length + 1))
    for (const changes of this.#unstable.slice(0, kept)) this.#stable.write(changes)
    this.#unstable = []
    this.#now = copyOf(this.#stable)
  }

  /** As one life of a process sees it. */
  openFor(process: SimulatedProcess): Disk {
    return {
      load: (kind) => this.#now.load(kind),
      write: (changes) =>
        this.#take(process, changes, () => {
          for (const earlier of this.#unstable) this.#stable.write(earlier)
          this.#unstable = []
          this.#stable.write(changes)
        }),
      writeSoon: (changes) => this.#take(process, changes, () => this.#unstable.push(changes)),
      close: () => undefined,
    }
  }

  /** As something that outlives processes sees it: it writes in place, which needs no room. */
  get bare(): Disk {
    return {
      load: (kind) => this.#now.load(kind),
      write: (changes) => this.#keepSoon(changes),
      writeSoon: (changes) => this.#keepSoon(changes),
      close: () => undefined,
    }
  }

  #keepSoon(changes: Changes): void {
    this.#now.write(changes)
    this.#unstable.push(changes)
  }

  #take(process: SimulatedProcess, changes: Changes, keep: () => void): void {
    if (!process.point('a write to disk')) throw new Error('the process is dead')
    if (this.#base.monotonicMs() < this.#fullUntilMs && changes.some(({ type }) => type === 'put'))
      throw new PlatformError('HOST_DISK_FULL', { what: 'agent state' })
    this.#now.write(changes)
    keep()
    // The program waits for its disk: nothing else of it goes on meanwhile.
    if (this.#base.monotonicMs() < this.#slowUntilMs) process.pause(this.#random.fraction() * 2_000)
    if (!process.point('the end of a write to disk')) throw new Error('the process is dead')
  }
}

function copyOf(disk: MemoryDisk): MemoryDisk {
  const copy = new MemoryDisk()
  for (const kind of disk.kinds())
    copy.write(disk.load(kind).map((record) => ({ type: 'put' as const, ...record })))
  return copy
}
