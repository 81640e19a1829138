import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import {
  Admission,
  BEGUN_PER_TURN_MAX,
  IDLE_CONNECTIONS_MAX,
  WAIT_MAX_MS,
  WAITING_MAX,
} from './admission.ts'

function open() {
  const clock = new VirtualClock()
  const admitted: Duplex[] = []
  const admission = new Admission(clock, (socket) => admitted.push(socket))
  const come = (count: number): Socket[] =>
    Array.from({ length: count }, () => {
      const socket = new Socket()
      admission.add(socket)
      return socket
    })
  /** As many turns as it takes to let all in for whom there is room. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn <= IDLE_CONNECTIONS_MAX; turn++) await nextTurn()
  }
  return { clock, admission, admitted, come, settle }
}

describe('admission of connections', () => {
  test('a few begin in each turn, in the order in which they came', async () => {
    const { admission, admitted, come, settle } = open()
    const sockets = come(10)
    assert.equal(admitted.length, BEGUN_PER_TURN_MAX)
    await settle()
    assert.deepEqual(admitted, sockets)
    admission.destroyAll()
  })

  test('who finds no room waits until another one serves or ends', async () => {
    const { admission, admitted, come, settle } = open()
    const sockets = come(IDLE_CONNECTIONS_MAX + 3)
    await settle()
    assert.equal(admitted.length, IDLE_CONNECTIONS_MAX)
    const [first, second] = sockets
    assert.ok(first !== undefined && second !== undefined)
    admission.countServing(first)
    second.destroy()
    await settle()
    assert.deepEqual(admitted, sockets.slice(0, IDLE_CONNECTIONS_MAX + 2))
    // One that has served leaves nothing behind that could count twice.
    first.destroy()
    await settle()
    assert.equal(admitted.length, IDLE_CONNECTIONS_MAX + 2)
    admission.destroyAll()
    assert.ok(sockets.every(({ destroyed }) => destroyed))
  })

  test('who has waited too long is refused, and those behind go on waiting', async () => {
    const { admission, admitted, clock, come, settle } = open()
    come(IDLE_CONNECTIONS_MAX)
    await settle()
    const [early] = come(1)
    await clock.advance(WAIT_MAX_MS - 1_000)
    const [late] = come(1)
    await clock.advance(1_000)
    assert.deepEqual([early?.destroyed, late?.destroyed], [true, false])
    admitted[0]?.destroy()
    await settle()
    assert.equal(admitted.at(-1), late)
    admission.destroyAll()
  })

  test('more than may wait are refused at once', async () => {
    const { admission, come, settle } = open()
    come(IDLE_CONNECTIONS_MAX)
    await settle()
    const waiting = come(WAITING_MAX + 2)
    assert.equal(waiting.filter(({ destroyed }) => destroyed).length, 2)
    assert.ok(waiting.slice(-2).every(({ destroyed }) => destroyed))
    admission.destroyAll()
  })

  test('one that ended while it waited takes no room', async () => {
    const { admission, admitted, come, settle } = open()
    come(IDLE_CONNECTIONS_MAX)
    await settle()
    const [gone, next] = come(2)
    gone?.destroy()
    await settle()
    admitted[0]?.destroy()
    await settle()
    assert.equal(admitted.at(-1), next)
    admission.destroyAll()
  })
})
