import { fileURLToPath } from 'node:url'

import type { QmpClient } from '../client.ts'
import { QmpCommandError } from '../errors.ts'

/** One line of a recorded session, without its end. */
export interface GoldenLine {
  readonly from: 'client' | 'qemu'
  readonly text: string
}

export const GOLDEN_FILE = fileURLToPath(new URL('golden.json', import.meta.url))

/** What the session is recorded with, so that its ids are the same each time. */
export const GOLDEN_RANDOM = (): number => 0.5

const MIB = 2 ** 20

/**
 * A session with the machine of `RealQemu`, one command after another, up to `quit`. Gives back what every step read;
 * a refusal is its class and description.
 */
export async function playGolden(client: QmpClient): Promise<Record<string, unknown>> {
  const read: Record<string, unknown> = {}
  for (const [name, step] of Object.entries(steps)) {
    read[name] = await step(client).catch((error: unknown) => {
      if (!(error instanceof QmpCommandError)) throw error
      return { class: error.class, description: error.description }
    })
  }
  return read
}

const steps = {
  status: (client) => client.run('query-status'),
  version: (client) => client.run('query-version'),
  name: (client) => client.run('query-name'),
  uuid: (client) => client.run('query-uuid'),
  kvm: (client) => client.run('query-kvm'),
  cpus: (client) => client.run('query-cpus-fast'),
  hotpluggable: (client) => client.run('query-hotpluggable-cpus'),
  pci: (client) => client.run('query-pci'),
  blockdevAdd: (client) =>
    client.run('blockdev-add', { driver: 'null-co', 'node-name': 'node0', size: 2 ** 40 }),
  deviceAdd: (client) =>
    client.run('device_add', {
      driver: 'virtio-blk-pci',
      id: 'disk0',
      drive: 'node0',
      bus: 'rp1',
    }),
  nodes: (client) => client.run('query-named-block-nodes'),
  block: (client) => client.run('query-block'),
  blockstats: (client) => client.run('query-blockstats'),
  blockdevDel: (client) => client.run('blockdev-del', { 'node-name': 'node0' }),
  cont: (client) => client.run('cont'),
  stop: (client) => client.run('stop'),
  deviceDel: (client) => client.run('device_del', { id: 'disk0' }),
  // Otherwise it is a matter of luck whether the next step finds the device.
  reset: async (client) => {
    const reset = client.waitForEvent(({ name }) => name === 'RESET', { timeoutMs: 30_000 })
    await client.run('system_reset')
    return (await reset).data
  },
  deviceDelAgain: (client) => client.run('device_del', { id: 'disk0' }),
  throttle: (client) =>
    client.run('object-add', {
      'qom-type': 'throttle-group',
      id: 'limits0',
      limits: { 'iops-total': 100 },
    }),
  qomSet: (client) =>
    client.run('qom-set', {
      path: '/objects/limits0',
      property: 'limits',
      value: { 'bps-total': 5 * MIB },
    }),
  qomGet: (client) => client.run('qom-get', { path: '/objects/limits0', property: 'limits' }),
  memory: (client) => client.run('query-memory-devices'),
  memorySummary: (client) => client.run('query-memory-size-summary'),
  balloon: (client) => client.run('query-balloon'),
  jobs: (client) => client.run('query-jobs'),
  chardev: (client) => client.run('query-chardev'),
  vnc: (client) => client.run('query-vnc-servers'),
  migrate: (client) => client.run('query-migrate'),
  unknown: (client) => client.execute('no-such-command'),
  quit: (client) => client.quit(),
} satisfies Record<string, (client: QmpClient) => Promise<unknown>>
