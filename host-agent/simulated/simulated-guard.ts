import type { Clock, Timer } from '@nubo/base'
import { FakeSetDriver, type FakeSetHost } from '../drivers/set/fake/fake-set-driver.ts'
import {
  formatLease,
  GUARD_MARGIN_MS,
  judgeLease,
  parseLease,
  STOPS_WITHIN_MS,
} from '../guard/lease-guard.ts'
import type { LeaseKeeper } from '../guard/lease-keeper.ts'
import type { Disk } from '../wanted/disk.ts'

/** The real guard looks more often; with this period, too, nothing runs beyond its promise. */
const ENDED_PERIOD_MS = 1_000
const KIND = 'guard'

/**
 * The lease guard of a simulated host: it lives as long as the host has power, whatever becomes of the agent. Its records
 * lie on the host's disk, where a test can damage them (kind `guard`, key `lease`).
 */
export class SimulatedGuard {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #setHost: FakeSetHost
  readonly #hands: FakeSetDriver
  #bootId = ''
  #isRunning = false
  #timer: Timer | undefined

  constructor(options: { clock: Clock; disk: Disk; setHost: FakeSetHost }) {
    this.#clock = options.clock
    this.#disk = options.disk
    this.#setHost = options.setHost
    this.#hands = new FakeSetDriver(options, options.setHost)
  }

  /** The host was switched on. */
  boot(bootId: string): void {
    this.#bootId = bootId
    this.start()
  }

  /** Idempotent. */
  start(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#look()
  }

  /** As kill -9 does. Idempotent. */
  kill(): void {
    this.#isRunning = false
    this.#timer?.cancel()
  }

  /** What the agent of the host sees of it. Nothing that a dead agent does reaches it: `isAlive` tells. */
  keeperFor(isAlive: () => boolean): LeaseKeeper {
    const write = (change: Parameters<Disk['writeSoon']>[0][number]): void => {
      if (isAlive()) this.#disk.writeSoon([change])
    }
    return {
      load: () => {
        const text = this.#read('lease')
        if (text === undefined) return 'none'
        const lease = parseLease(text)
        if (lease === undefined) return 'damaged'
        return lease.bootId === this.#bootId ? lease.untilMs : 'none'
      },
      save: (untilMs) => {
        const value = formatLease({ bootId: this.#bootId, untilMs })
        write({ type: 'put', kind: KIND, key: 'lease', value })
      },
      watch: (setId) => {
        const key = `set/${setId}`
        if (this.#read(key) === undefined) write({ type: 'put', kind: KIND, key, value: '' })
      },
      unwatch: (setId) => {
        const key = `set/${setId}`
        if (this.#read(key) !== undefined) write({ type: 'remove', kind: KIND, key })
      },
      watched: () =>
        this.#disk
          .load(KIND)
          .filter(({ key }) => key.startsWith('set/'))
          .map(({ key }) => key.slice('set/'.length)),
      stopsWithinMs: () => (this.#isRunning ? STOPS_WITHIN_MS : null),
    }
  }

  #read(key: string): string | undefined {
    return this.#disk.load(KIND).find((record) => record.key === key)?.value
  }

  #look(): void {
    if (!this.#isRunning) return
    const text = this.#read('lease')
    const atMs = this.#clock.monotonicMs()
    const lease = judgeLease(text, { bootId: this.#bootId, atMs })
    const untilMs = (text === undefined ? undefined : parseLease(text))?.untilMs ?? 0
    if (lease === 'ended' || lease === 'damaged') this.#killWatched()
    const isOver = lease === 'ended' || lease === 'damaged'
    const againInMs = isOver ? ENDED_PERIOD_MS : untilMs + GUARD_MARGIN_MS - atMs
    this.#timer = this.#clock.after(againInMs, () => this.#look())
  }

  #killWatched(): void {
    for (const { key } of this.#disk.load(KIND)) {
      const setId = key.startsWith('set/') ? key.slice('set/'.length) : ''
      const set = this.#setHost.sets.get(setId)
      if (set === undefined) continue
      for (const name of set.containers.keys())
        this.#hands.endContainer(setId, name, { exitCode: 137 })
      this.#hands.endSandbox(setId)
    }
  }
}
