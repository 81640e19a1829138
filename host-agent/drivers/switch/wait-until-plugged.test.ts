import assert from 'node:assert/strict'
import { test } from 'node:test'

import { VirtualClock } from '@nubo/base'
import { Listeners } from './listeners.ts'
import type { AttachedInterface, InterfaceState, PortChange } from './switch-driver.ts'
import { waitUntilPlugged } from './wait-until-plugged.ts'

function makeRig() {
  const clock = new VirtualClock()
  const ports = new Map<string, AttachedInterface>()
  const changes = new Listeners<PortChange>()
  return {
    clock,
    set: (portId: string, state: InterfaceState | undefined): void => {
      if (state === undefined) ports.delete(portId)
      else ports.set(portId, { portId, name: 've1', ofport: 1, state })
      changes.tell({ portId, old: undefined, new: ports.get(portId) })
    },
    wait: (portId: string): Promise<void> =>
      waitUntilPlugged({
        clock,
        ports,
        onPortChange: (listener) => changes.add(listener),
        portId,
        deadlineMs: 100,
      }),
  }
}

test('it ends at once when the outcome is there already', async () => {
  const { set, wait } = makeRig()
  await assert.rejects(wait('p'), { problem: 'not_attached' })
  set('p', { at: 'plugged' })
  await wait('p')
  set('p', { at: 'failed', reason: 'no such device' })
  await assert.rejects(wait('p'), { problem: 'device_failed', message: /no such device/ })
})

test('it waits for its own port, up to the deadline', async () => {
  const { clock, set, wait } = makeRig()
  set('p', { at: 'waiting' })
  const plugged = wait('p')
  const late = wait('p')
  set('q', { at: 'failed', reason: 'not mine' })
  await clock.advance(99)
  set('p', { at: 'plugged' })
  await Promise.all([plugged, late])
  set('p', { at: 'waiting' })
  const rejected = assert.rejects(wait('p'), { problem: 'timed_out' })
  await clock.advance(100)
  await rejected
})

test('a port that is detached while waited for ends the waiting', async () => {
  const { set, wait } = makeRig()
  set('p', { at: 'waiting' })
  const rejected = assert.rejects(wait('p'), { problem: 'not_attached' })
  set('p', undefined)
  await rejected
})
