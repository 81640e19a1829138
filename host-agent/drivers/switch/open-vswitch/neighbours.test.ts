import assert from 'node:assert/strict'
import { test } from 'node:test'

import { VirtualClock } from '@nubo/base'
import { SwitchError } from '../switch-driver.ts'
import { withDefaults } from './config.ts'
import { Neighbours } from './neighbours.ts'

function makeRig(datapathType: 'netdev' | 'system' = 'netdev') {
  const config = withDefaults({
    ovsdbSocket: '/run/db.sock',
    runDir: '/run',
    datapathType,
    vtepAddress: '192.168.77.1',
  })
  const clock = new VirtualClock()
  const told: string[] = []
  const state = { isAway: false }
  const socket = {
    call: async (...command: readonly string[]): Promise<string> => {
      await Promise.resolve()
      if (state.isAway) throw new SwitchError('unreachable', 'away')
      told.push(command.join(' '))
      return 'OK'
    },
  }
  return { clock, told, state, neighbours: new Neighbours(config, socket, clock) }
}

const COMMAND = 'tnl/neigh/set br-phy 10.0.0.1 0a:00:00:00:00:01'

test('a neighbour is told at once and again before the switch forgets it', async () => {
  const { neighbours, told, clock } = makeRig()
  await neighbours.set('10.0.0.1', '0a:00:00:00:00:01')
  assert.deepEqual(told, [COMMAND])
  await clock.advance(899_000)
  assert.equal(told.length, 3)
  neighbours.stop()
  await clock.advance(10_000_000)
  assert.equal(told.length, 3)
})

test('what could not be told is told with the next replay, with its newest address', async () => {
  const { neighbours, told, state } = makeRig()
  state.isAway = true
  const isUnreachable = { problem: 'unreachable' }
  await assert.rejects(neighbours.set('10.0.0.1', '0a:00:00:00:00:09'), isUnreachable)
  await assert.rejects(neighbours.set('10.0.0.1', '0a:00:00:00:00:01'), isUnreachable)
  await neighbours.replay()
  assert.deepEqual(told, [])
  state.isAway = false
  await neighbours.replay()
  assert.deepEqual(told, [COMMAND])
  neighbours.stop()
})

test('the datapath of the kernel is not told', async () => {
  const { neighbours, told } = makeRig('system')
  await neighbours.set('10.0.0.1', '0a:00:00:00:00:01')
  assert.deepEqual(told, [])
  neighbours.stop()
})
