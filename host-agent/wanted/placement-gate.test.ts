import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { silentLog } from '@nubo/runtime/process'
import { testSet, testUpdate } from '../testing/wanted.ts'
import { MemoryDisk } from './disk.ts'
import { PlacementGate } from './placement-gate.ts'
import { WantedStore } from './wanted-store.ts'

const local = testSet({ recovery: 'local' })
const elsewhere = testSet({ recovery: 'elsewhere' })

/** What is written of the lease, over lives of the gate. */
class FakeLease {
  record: number | 'none' | 'damaged' = 'none'
  isBroken = false

  load(): number | 'none' | 'damaged' {
    return this.record
  }

  save(untilMs: number): void {
    if (this.isBroken) throw new Error('no room')
    this.record = untilMs
  }
}

function make(
  options: { disk?: MemoryDisk; bootId?: string; clock?: VirtualClock; lease?: FakeLease } = {},
) {
  const clock = options.clock ?? new VirtualClock()
  const lease = options.lease ?? new FakeLease()
  const disk = options.disk ?? new MemoryDisk()
  const store = new WantedStore({ disk, log: silentLog })
  const bootId = options.bootId ?? 'boot-1'
  let changes = 0
  const gate = new PlacementGate({
    clock,
    log: silentLog,
    bootId,
    leaseMaxMs: 60_000,
    lease,
    store,
    onChange: () => (changes += 1),
  })
  const confirm = (): void => {
    store.apply(testUpdate(1, [], { full: true }), bootId)
    gate.confirm()
  }
  /** As a session does at its start. */
  const begin = (): void => {
    gate.renewLease(clock.monotonicMs() + 30_000, 'welcome')
    confirm()
  }
  const answer = (): boolean => gate.renewLease(clock.monotonicMs() + 30_000, 'heartbeat')
  return { clock, disk, lease, store, gate, confirm, begin, answer, changes: () => changes }
}

test('after a reboot only local sets may run, until a server confirms', () => {
  const before = make()
  before.begin()
  before.gate.stop()
  const { gate, clock, confirm, changes } = make({ disk: before.disk, bootId: 'boot-2' })
  assert.equal(gate.permission(local), 'granted')
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  // The answer to a hello may be older than the news of another placement.
  gate.renewLease(clock.monotonicMs() + 30_000, 'welcome')
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  confirm()
  assert.equal(changes(), 1)
  assert.equal(gate.permission(elsewhere), 'granted')
  gate.stop()
})

test('an agent that restarts goes on with the lease that it had, however often', async () => {
  const first = make()
  first.begin()
  const { clock, disk, lease } = first
  first.gate.stop()
  for (let life = 0; life < 10; life++) {
    await clock.advance(2_900)
    const { gate } = make({ disk, lease, clock })
    assert.equal(gate.permission(elsewhere), 'granted')
    assert.equal(gate.leaseUntilMonotonicMs, 30_000)
    gate.stop()
  }
  const last = make({ disk, lease, clock })
  await clock.advance(999)
  assert.equal(last.gate.permission(elsewhere), 'granted')
  await clock.advance(1)
  assert.equal(last.gate.permission(elsewhere), 'lease-ended')
  assert.equal(last.gate.permission(local), 'granted')
  assert.equal(last.store.confirmedBootId, null)
})

test('a lease that ended while no agent ran is over, and takes the confirmation with it', async () => {
  const before = make()
  before.begin()
  before.gate.stop()
  await before.clock.advance(30_000)
  const { gate, store, begin } = make(before)
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  assert.equal(store.confirmedBootId, null)
  begin()
  assert.equal(gate.permission(elsewhere), 'granted')
  gate.stop()
})

test('a record that is missing, damaged, or longer than any lease counts as ended', () => {
  for (const record of ['none', 'damaged', 60_001, 1e15] as const) {
    const before = make()
    before.begin()
    before.gate.stop()
    before.lease.record = record
    const { gate, store } = make(before)
    assert.equal(gate.permission(elsewhere), 'unconfirmed', String(record))
    assert.equal(gate.permission(local), 'granted')
    assert.equal(store.confirmedBootId, null)
  }
})

test('a lease that ended comes back with a session only: not with an answer, nor with what was said before', async () => {
  const { gate, clock, confirm, begin, answer, store, changes } = make()
  begin()
  await clock.advance(20_000)
  assert.ok(answer())
  await clock.advance(20_000)
  assert.equal(gate.permission(elsewhere), 'granted')
  await clock.advance(10_000)
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  assert.equal(changes(), 2)
  assert.equal(store.confirmedBootId, null)
  assert.equal(answer(), false)
  // What lay unread in a socket while the agent was stopped.
  confirm()
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  gate.renewLease(clock.monotonicMs() + 30_000, 'welcome')
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  confirm()
  assert.equal(gate.permission(elsewhere), 'granted')
  gate.stop()
})

test('an end whose timer is late is noticed by whatever comes first', async () => {
  const clock = new VirtualClock()
  let sleptMs = 0
  // Timers do not fire while a machine sleeps; its clock goes on.
  const sleepy = Object.assign(Object.create(clock) as VirtualClock, {
    monotonicMs: () => clock.monotonicMs() + sleptMs,
    after: (delayMs: number, fire: () => void) => clock.after(delayMs, fire),
  })
  const { gate, begin, answer, changes } = make({ clock: sleepy })
  begin()
  sleptMs = 31_000
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  assert.equal(answer(), false)
  assert.equal(changes(), 2)
  begin()
  sleptMs += 31_000
  gate.renewLease(sleepy.monotonicMs() + 30_000, 'welcome')
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  gate.stop()
})

test('a renewal that cannot be written does not count', async () => {
  const { gate, clock, lease, begin, answer } = make()
  begin()
  lease.isBroken = true
  await clock.advance(10_000)
  assert.ok(answer())
  assert.equal(gate.leaseUntilMonotonicMs, 30_000)
  await clock.advance(20_000)
  assert.equal(gate.permission(elsewhere), 'lease-ended')
})

test('an answer that comes late does not shorten the lease', () => {
  const { gate, clock } = make()
  gate.renewLease(clock.monotonicMs() + 30_000, 'welcome')
  gate.renewLease(clock.monotonicMs() + 10_000, 'heartbeat')
  assert.equal(gate.leaseUntilMonotonicMs, clock.monotonicMs() + 30_000)
  gate.stop()
})
