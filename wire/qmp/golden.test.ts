/** A session that was recorded with QEMU 7.2 is read as it should be, and the client sends today what it sent then. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { duplexPair, type Duplex } from 'node:stream'
import { test } from 'node:test'

import { QmpClient } from './client.ts'
import type { QmpEvent } from './events.ts'
import {
  GOLDEN_FILE,
  GOLDEN_RANDOM,
  playGolden,
  type GoldenLine,
} from './testing/golden-session.ts'

// The file is written by this repository's own recorder, and the system test compares it with the QEMU at hand.
const golden = JSON.parse(readFileSync(GOLDEN_FILE, 'utf8')) as readonly GoldenLine[]

/** Says what QEMU said, each time the client has said what it said then. `chunkBytes` cuts it into pieces. */
function replay(lines: readonly GoldenLine[], chunkBytes: number): Duplex {
  const [here, there] = duplexPair()
  let at = 0
  const answer = (): void => {
    let text = ''
    for (; lines[at]?.from === 'qemu'; at += 1) text += `${lines[at]?.text}\r\n`
    for (let from = 0; from < text.length; from += chunkBytes) {
      here.write(text.slice(from, from + chunkBytes))
    }
    if (at === lines.length) here.end()
  }
  here.on('data', (chunk: Buffer) => {
    for (const text of chunk.toString().trimEnd().split('\n')) {
      assert.deepEqual({ from: 'client', text }, lines[at])
      at += 1
      answer()
    }
  })
  answer()
  return there
}

const node = {
  nodeName: 'node0',
  driver: 'null-co',
  filename: 'json:{"driver": "null-co", "size": 1099511627776}',
  isReadOnly: false,
  backingDepth: 0,
  virtualSizeBytes: 2 ** 40,
  actualSizeBytes: 0,
  format: 'null-co',
  backingFilename: null,
  throttleGroup: null,
}
const place = (core: number) => ({
  'socket-id': 0,
  'core-id': core,
  'thread-id': 0,
  'node-id': 0,
})
const unused = {
  readBytes: 0,
  writtenBytes: 0,
  discardedBytes: 0,
  reads: 0,
  writes: 0,
  flushes: 0,
  readNanoseconds: 0,
  writeNanoseconds: 0,
  flushNanoseconds: 0,
  failedReads: 0,
  failedWrites: 0,
  highestOffsetBytes: 0,
}

/** What the steps read, but for thread ids and PCI devices, which are looked at one by one. */
const expected = {
  status: { status: 'prelaunch', isRunning: false },
  version: { major: 7, minor: 2, micro: 22, package: 'Debian 1:7.2+dfsg-7+deb12u18+b3' },
  name: null,
  uuid: '00000000-0000-0000-0000-000000000000',
  kvm: { isEnabled: false, isPresent: true },
  hotpluggable: [
    { type: 'qemu64-x86_64-cpu', cpuCount: 1, place: place(1), qomPath: null },
    {
      type: 'qemu64-x86_64-cpu',
      cpuCount: 1,
      place: place(0),
      qomPath: '/machine/unattached/device[0]',
    },
  ],
  blockdevAdd: undefined,
  deviceAdd: undefined,
  nodes: [node],
  block: [
    {
      device: '',
      qdev: '/machine/peripheral/disk0/virtio-backend',
      inserted: node,
      ioStatus: 'ok',
    },
  ],
  blockstats: [
    {
      device: '',
      qdev: '/machine/peripheral/disk0/virtio-backend',
      nodeName: 'node0',
      ...unused,
    },
  ],
  blockdevDel: { class: 'GenericError', description: 'Node node0 is in use' },
  cont: undefined,
  stop: undefined,
  deviceDel: undefined,
  reset: { isByGuest: false, reason: 'host-qmp-system-reset' },
  deviceDelAgain: { class: 'DeviceNotFound', description: "Device 'disk0' not found" },
  throttle: undefined,
  qomSet: undefined,
  memory: [
    {
      type: 'virtio-mem',
      id: 'vmem0',
      sizeBytes: 0,
      memdev: '/objects/vm0',
      requestedSizeBytes: 0,
      maxSizeBytes: 2 ** 28,
      blockSizeBytes: 2 ** 21,
    },
  ],
  memorySummary: { baseBytes: 2 ** 26, pluggedBytes: 0 },
  balloon: { actualBytes: 2 ** 26 },
  jobs: [],
  chardev: [
    {
      label: 'compat_monitor0',
      filename: 'unix:/run/vm/qmp,server=on',
      isFrontendOpen: true,
    },
  ],
  vnc: [],
  migrate: {
    status: null,
    error: null,
    totalMs: null,
    downtimeMs: null,
    expectedDowntimeMs: null,
    setupMs: null,
    blockedReasons: [],
    ram: null,
  },
  unknown: {
    class: 'CommandNotFound',
    description: 'The command no-such-command has not been found',
  },
  quit: undefined,
}

for (const chunkBytes of [1, 7, 1_000_000]) {
  test(`the recorded session is read, in pieces of ${chunkBytes} bytes`, async () => {
    const events: QmpEvent[] = []
    const client = await QmpClient.open(replay(golden, chunkBytes), {
      random: GOLDEN_RANDOM,
      onEvent: (event) => events.push(event),
    })
    const { cpus, pci, qomGet, ...read } = await playGolden(client)
    assert.deepEqual(read, expected)
    assert.partialDeepStrictEqual(cpus, [{ index: 0, place: place(0) }])
    assert.partialDeepStrictEqual(qomGet, { 'bps-total': 5 * 2 ** 20, 'iops-total': 100 })
    assert.partialDeepStrictEqual(pci, [
      {
        bus: 0,
        devices: [
          { id: '', vendorId: 0x8086, deviceId: 0x29c0, classId: 0x600 },
          { id: 'rp1', slot: 1, classId: 0x604, devices: [] },
        ],
      },
    ])
    assert.deepEqual(
      new Set(events.map((event) => event.name)),
      new Set(['RESUME', 'STOP', 'RESET', 'DEVICE_DELETED', 'SHUTDOWN']),
    )
    assert.equal((await client.closed).end, 'ended')
  })
}
