import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'

import { OvsdbError } from './errors.ts'
import { JsonRpcPeer } from './json-rpc.ts'
import type { Timers } from './timers.ts'

export interface UnixctlOptions {
  /** For connecting and answering together; default 5,000. */
  readonly deadlineMs?: number
  readonly timers?: Timers
}

/**
 * Runs one command on the control socket of an Open vSwitch daemon (what ovs-appctl does, without a process):
 * connects, asks, disconnects. Resolves with the command's text.
 * Rejects with `OvsdbError`: `rpc` when the daemon refuses the command, `lost` when it cannot be reached.
 */
export async function callUnixctl(
  path: string | (() => Duplex),
  command: string,
  parameters: readonly string[],
  options: UnixctlOptions = {},
): Promise<string> {
  const stream = typeof path === 'string' ? createConnection({ path }) : path()
  const peer = new JsonRpcPeer(stream, {
    keepAliveMs: 0,
    ...(options.timers === undefined ? {} : { timers: options.timers }),
  })
  try {
    const reply = await peer.request(command, parameters, {
      deadlineMs: options.deadlineMs ?? 5_000,
    })
    if (typeof reply === 'string') return reply
    throw new OvsdbError('protocol', { error: 'malformed reply of a control command' })
  } finally {
    peer.close()
  }
}
