// Proves that an agent's wanted state follows its slice, whatever congestion does, and that nothing is sent twice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { HOST_CONTRACT_LATEST, wantedKey, type WantedItem } from '@nubo/contracts/host'
import { World } from '../world/index.ts'
import { LocalPorts } from './local-ports.ts'
import { WantedSender } from './sender.ts'
import { hostSlice } from './slice.ts'
import { FakeChannel } from './testing/fake-channel.ts'
import {
  change,
  gone,
  hostId,
  hostRow,
  networkRow,
  portId,
  portRow,
  put,
  setId,
  setRow,
} from './testing/rows.ts'

/** Takes one message and is full. */
class SlowChannel extends FakeChannel {
  override send(text: string): void {
    super.send(text)
    this.bufferedBytes = 2 ** 30
  }
}

function start(options: { remotePorts?: number; slow?: boolean } = {}) {
  const clock = new VirtualClock()
  const world = new World(clock)
  change(world, put('host', hostRow(1)), put('host', hostRow(2)), put('network', networkRow(1)))
  change(
    world,
    put('set', setRow(1, { hostId: hostId(1) })),
    put('port', portRow(1, { setId: setId(1) })),
  )
  const remotePorts = Array.from({ length: options.remotePorts ?? 0 }, (_, n) =>
    portRow(100 + n, { hostId: hostId(2), interfaceName: `tap${n}` }),
  )
  change(world, ...remotePorts.map((port) => put('port', port)))
  const locality = new LocalPorts(world)
  const channel = options.slow === true ? new SlowChannel() : new FakeChannel()
  const held = new Map<string, WantedItem>()
  /** What it was told is gone and never heard of before. */
  const unknown: string[] = []
  let stalled = false
  let isWithinSnapshot = false
  const sender = new WantedSender({
    channel,
    world,
    locality,
    clock,
    hostId: hostId(1),
    contract: HOST_CONTRACT_LATEST,
    onStalled: () => {
      stalled = true
    },
  })
  world.subscribe((changes) => {
    const keys = locality.apply(changes).get(hostId(1))
    if (keys !== undefined) sender.touch(keys)
  })
  sender.start()
  /** Applies what came, as an agent does; returns how many messages that were. */
  const receive = (): number => {
    const messages = channel.take('wanted')
    for (const message of messages) {
      if (message.full && !isWithinSnapshot) held.clear()
      isWithinSnapshot = message.full && !message.last
      for (const item of message.upserts) held.set(wantedKey(item), item)
      for (const key of message.removes) {
        if (!held.delete(key)) unknown.push(key)
      }
    }
    return messages.length
  }
  const assertEqual = (): void => {
    assert.deepEqual(held, hostSlice(world, hostId(1)))
    assert.deepEqual(unknown, [])
  }
  return { clock, world, channel, sender, receive, assertEqual, unknown, isStalled: () => stalled }
}

test('first a snapshot, then each change in the same moment', () => {
  const { world, receive, assertEqual } = start()
  assert.equal(receive(), 1)
  assertEqual()
  change(world, put('port', portRow(2, { hostId: hostId(2), interfaceName: 'tap0' })))
  assert.equal(receive(), 1)
  assertEqual()
  change(world, gone('port', portId(2)))
  assert.equal(receive(), 1)
  assertEqual()
})

test('changes that make no difference for the host send nothing', () => {
  const { world, receive } = start()
  receive()
  change(world, put('set', setRow(1, { hostId: hostId(1), labels: { a: 'b' } })))
  change(world, put('port', portRow(3)))
  change(world, put('host', hostRow(2, { cordoned: true })))
  assert.equal(receive(), 0)
})

test('a congested channel gets one merged difference when there is room again', async () => {
  const { clock, world, channel, receive, assertEqual } = start()
  receive()
  channel.bufferedBytes = 2 ** 30
  const port = portRow(2, { hostId: hostId(2), interfaceName: 'tap0' })
  change(world, put('port', port))
  change(world, put('host', hostRow(2, { vtepAddress: '10.1.0.77' })))
  change(world, put('set', setRow(1, { hostId: hostId(1), generation: 2 })))
  change(world, put('port', portRow(5, { hostId: hostId(2), interfaceName: 'tap1' })))
  change(world, gone('port', portId(5)))
  await clock.advance(1_000)
  assert.equal(receive(), 0)
  channel.bufferedBytes = 0
  await clock.advance(100)
  assert.equal(receive(), 1)
  assertEqual()
})

test('a host that takes nothing is given up, one that takes some is not', async () => {
  const { clock, world, channel, isStalled, receive } = start()
  receive()
  const generation = (n: number) =>
    change(world, put('set', setRow(1, { hostId: hostId(1), generation: n })))
  channel.bufferedBytes = 2 ** 30
  generation(2)
  await clock.advance(20_000)
  channel.bufferedBytes = 0
  await clock.advance(100)
  channel.bufferedBytes = 2 ** 30
  generation(3)
  await clock.advance(20_000)
  assert.equal(isStalled(), false)
  await clock.advance(11_000)
  assert.equal(isStalled(), true)
  channel.bufferedBytes = 0
  receive()
  await clock.advance(1_000)
  assert.equal(receive(), 0)
})

test('a snapshot that waits half-sent is of one moment; what changed since follows', async () => {
  const { clock, world, channel, receive, assertEqual } = start({ remotePorts: 2_500, slow: true })
  assert.equal(channel.received.length, 1)
  change(world, gone('port', portId(100)), gone('port', portId(2_000)))
  change(world, put('set', setRow(1, { hostId: hostId(1), generation: 9 })))
  for (let round = 0; round < 10; round++) {
    channel.bufferedBytes = 0
    await clock.advance(50)
  }
  const messages = channel.received.filter((message) => message.type === 'wanted')
  assert.deepEqual(
    messages.map(({ revision, full, last }) => ({ revision, full, last })),
    [
      { revision: 3, full: true, last: false },
      { revision: 3, full: true, last: false },
      { revision: 3, full: true, last: true },
      { revision: 5, full: false, last: true },
    ],
  )
  assert.deepEqual(messages[3]?.removes.toSorted(), [
    `port/${portId(100)}`,
    `port/${portId(2_000)}`,
  ])
  assert.equal(receive(), 4)
  assertEqual()
})

test('a host is known to have heard that a set is gone once it has the message that says so, or the snapshot', () => {
  const { world, sender, receive } = start()
  receive()
  const snapshot = world.revision
  assert.equal(sender.goneAt({ kind: 'set', id: setId(1) }), undefined)
  assert.equal(sender.goneAt({ kind: 'set', id: setId(9) }), snapshot)
  change(world, put('port', portRow(2, { hostId: hostId(2), interfaceName: 'tap0' })))
  change(world, put('set', setRow(1, { hostId: hostId(1), wanted: 'removed' })))
  assert.equal(sender.goneAt({ kind: 'set', id: setId(1) }), snapshot + 2)
  change(world, put('port', portRow(3, { hostId: hostId(2), interfaceName: 'tap1' })))
  assert.equal(sender.goneAt({ kind: 'set', id: setId(1) }), snapshot + 2)
})

test('a set that was placed and removed between two messages is told as gone, once, so that its host answers', async () => {
  const { clock, world, channel, receive, unknown } = start()
  receive()
  channel.bufferedBytes = 2 ** 30
  change(world, put('set', setRow(2, { hostId: hostId(1) })))
  change(world, put('set', setRow(2, { hostId: hostId(1), wanted: 'removed' })))
  channel.bufferedBytes = 0
  await clock.advance(100)
  assert.equal(receive(), 1)
  assert.deepEqual(unknown, [`set/${setId(2)}`])
  change(world, put('set', setRow(2, { hostId: hostId(1), wanted: 'removed', generation: 3 })))
  change(world, gone('set', setId(2)))
  assert.equal(receive(), 0)
})
