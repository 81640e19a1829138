import { createConnection } from 'node:net'
import { join } from 'node:path'

import type { Clock } from '@nubo/base'
import { OpenFlowClient } from '@nubo/wire-openflow'

import type { OpenVswitchConfig } from './config.ts'
import type { FlowClient } from './flow-channel.ts'

const OPEN_TIMEOUT_MS = 5_000
// A hundred thousand flows take about a second.
const BUNDLE_TIMEOUT_MS = 30_000

/** Opens the bridge's management socket. Rejects with `OpenFlowError`. */
export async function connectToBridge(
  config: OpenVswitchConfig,
  clock: Clock,
): Promise<FlowClient> {
  const stream = createConnection({ path: join(config.runDir, `${config.bridge}.mgmt`) })
  const client = await OpenFlowClient.open(stream, {
    openTimeoutMs: OPEN_TIMEOUT_MS,
    bundleTimeoutMs: BUNDLE_TIMEOUT_MS,
    // Nothing here listens to what happens on the switch; ports are watched in the database.
    events: [],
    timers: {
      after: (delayMs, callback) => {
        const timer = clock.after(delayMs, callback)
        return () => timer.cancel()
      },
    },
  })
  return {
    applyBundle: (changes) => client.applyBundle(changes),
    dumpFlows: async (filter) => {
      const dump = await client.dumpFlows(filter)
      return { flows: dump.flows.map(({ flow }) => flow), foreign: dump.foreign }
    },
    closed: client.closed,
    close: () => client.close(),
  }
}
