import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { callUnixctl, OvsdbError, type Timers } from '@nubo/wire-ovsdb'

import { SwitchError } from '../switch-driver.ts'
import type { OpenVswitchConfig } from './config.ts'

const COMMAND_DEADLINE_MS = 2_000
const CONTROL_SOCKET = /^ovs-vswitchd(?:-[a-z]+)?(?:\.(\d+))?\.ctl$/
// Each kill of the switch can leave one behind.
const CANDIDATES_MAX = 8

/** The socket behind ovs-appctl, for the few things that neither OVSDB nor OpenFlow reach. */
export class ControlSocket {
  readonly #config: OpenVswitchConfig
  readonly #timers: Timers

  constructor(config: OpenVswitchConfig, timers: Timers) {
    this.#config = config
    this.#timers = timers
  }

  /** Runs one command and resolves with its text. Rejects with `unreachable`, or `invalid` if it is refused. */
  async call(command: string, ...parameters: readonly string[]): Promise<string> {
    let cause: unknown
    for (const path of await this.#candidates()) {
      try {
        const options = { deadlineMs: COMMAND_DEADLINE_MS, timers: this.#timers }
        return await callUnixctl(path, command, parameters, options)
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error
        cause = error
        if (error.kind === 'rpc') {
          throw new SwitchError('invalid', `the switch refused ${command}`, { cause })
        }
        // A socket that a killed switch left behind does not connect; the next may be the right one.
      }
    }
    throw new SwitchError('unreachable', 'no control socket of the switch answers', {
      details: { runDir: this.#config.runDir },
      cause,
    })
  }

  /** Where the socket of the running switch may be, the likeliest first. */
  async #candidates(): Promise<string[]> {
    const { controlSocket, runDir } = this.#config
    if (controlSocket !== undefined) return [controlSocket]
    const [names, pid] = await Promise.all([
      readdir(runDir).catch(() => []),
      readFile(join(runDir, 'ovs-vswitchd.pid'), 'utf8').catch(() => ''),
    ])
    const found = names.flatMap((name) => {
      const match = CONTROL_SOCKET.exec(name)
      return match === null
        ? []
        : [{ path: join(runDir, name), rank: rankOf(match[1], pid.trim()) }]
    })
    const sorted = found.sort((a, b) => a.rank - b.rank)
    return sorted.slice(0, CANDIDATES_MAX).map(({ path }) => path)
  }
}

function rankOf(pidInName: string | undefined, pid: string): number {
  if (pidInName === pid) return 0
  return pidInName === undefined ? 1 : 2
}
