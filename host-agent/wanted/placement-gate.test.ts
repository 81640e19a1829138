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

function make(options: { disk?: MemoryDisk; bootId?: string } = {}) {
  const clock = new VirtualClock()
  const disk = options.disk ?? new MemoryDisk()
  const store = new WantedStore({ disk, log: silentLog })
  const bootId = options.bootId ?? 'boot-1'
  let changes = 0
  const gate = new PlacementGate({
    clock,
    log: silentLog,
    bootId,
    leaseMs: 30_000,
    store,
    onChange: () => (changes += 1),
  })
  const confirm = (): void => {
    store.apply(testUpdate(1, [], { full: true }), bootId)
    gate.confirm()
  }
  return { clock, disk, store, gate, confirm, changes: () => changes }
}

test('after a reboot only local sets may run, until a server confirms', async () => {
  const before = make()
  before.confirm()
  before.gate.stop()
  const { gate, clock, confirm, changes } = make({ disk: before.disk, bootId: 'boot-2' })
  assert.equal(gate.permission(local), 'granted')
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  // The answer to a heartbeat may be older than the news of another placement.
  gate.renewLease(clock.monotonicMs() + 30_000)
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  confirm()
  assert.equal(changes(), 1)
  assert.equal(gate.permission(elsewhere), 'granted')
  gate.stop()
})

test('after an agent restart in the same boot everything runs on for one lease', async () => {
  const before = make()
  before.confirm()
  before.gate.stop()
  const { gate, clock } = make({ disk: before.disk })
  assert.equal(gate.permission(elsewhere), 'granted')
  await clock.advance(29_999)
  assert.equal(gate.permission(elsewhere), 'granted')
  await clock.advance(1)
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  assert.equal(gate.permission(local), 'granted')
})

test('a lease that ended takes the confirmation with it, also on disk', async () => {
  const { gate, clock, confirm, store, changes, disk } = make()
  confirm()
  gate.renewLease(clock.monotonicMs() + 30_000)
  await clock.advance(20_000)
  gate.renewLease(clock.monotonicMs() + 30_000)
  await clock.advance(20_000)
  assert.equal(gate.permission(elsewhere), 'granted')
  await clock.advance(10_000)
  assert.equal(gate.permission(elsewhere), 'lease-ended')
  assert.equal(changes(), 2)
  assert.equal(store.confirmedBootId, null)
  gate.renewLease(clock.monotonicMs() + 30_000)
  assert.equal(gate.permission(elsewhere), 'unconfirmed')
  const restarted = make({ disk })
  assert.equal(restarted.gate.permission(elsewhere), 'unconfirmed')
  confirm()
  assert.equal(gate.permission(elsewhere), 'granted')
})

test('an answer that comes late does not shorten the lease', () => {
  const { gate, clock } = make()
  gate.renewLease(clock.monotonicMs() + 30_000)
  gate.renewLease(clock.monotonicMs() + 10_000)
  assert.equal(gate.leaseUntilMonotonicMs, clock.monotonicMs() + 30_000)
  gate.stop()
})
