/**
 * The program behind `nubo up`: parent of everything that a lab runs. Started by it with --home, in a session of its
 * own, and ended by `nubo down` through its socket.
 */
import { parseArgs } from 'node:util'
import { every, PlatformError } from '@nubo/base'
import { openLog, systemClock, systemRandom } from '@nubo/runtime'
import { findCgroupTrees, LabCgroups } from './cgroups.ts'
import { nodeEnvironment } from './checkout.ts'
import { Cloud } from './cloud.ts'
import { labHome } from './home.ts'
import { truncateLogs } from './logs.ts'
import { readState } from './state.ts'
import { readEngineVersions } from './status.ts'
import { openSupervisorApi } from './supervisor-api.ts'

const LOG_CHECK_MS = 60_000

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' } } })
  const log = openLog({ name: 'supervisor', level: 'info' })
  if (values.home === undefined) throw new PlatformError('INVALID_INPUT', { field: '--home' })
  const home = labHome(values.home)
  const state = readState(home)
  if (state === undefined)
    throw new PlatformError('SETUP_FAILED', { next: 'start it with `nubo up`' })
  const cloud = new Cloud({
    home,
    state,
    cgroups: new LabCgroups(findCgroupTrees(), home.id),
    nodeEnvironment: nodeEnvironment(process.env['NODE_COMPILE_CACHE']),
    clock: systemClock,
    random: systemRandom,
    log,
  })
  const logCheck = every(systemClock, LOG_CHECK_MS, () => truncateLogs(home.log))
  let engines: Promise<Record<string, string>> | undefined
  const api = await openSupervisorApi({
    home,
    cloud,
    engines: () => (engines ??= readEngineVersions()),
    onStopped: leave,
    onFailedStart: leave,
  })
  function leave(): void {
    logCheck.cancel()
    api.close()
    // Nothing of the lab runs any more; what still waits somewhere must not keep its supervisor alive.
    setImmediate(() => process.exit(0))
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info('asked to end', { signal })
      cloud
        .stop(() => undefined)
        .then(leave, (error: unknown) => log.error('could not end everything', { error }))
    })
  }
  // The terminal that ran `nubo up` may be closed.
  process.on('SIGHUP', () => undefined)
  log.info('ready', { home: home.folder })
}

await main()
