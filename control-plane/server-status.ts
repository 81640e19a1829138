import type { Clock } from '@nubo/base'
import { api } from '@nubo/contracts'
import type { ProcessStatus } from '@nubo/runtime'
import { route, type CallerBinding } from './domains/identity/index.ts'

/** How this very process is doing, for operators. */
export function serverStatusBinding(deps: {
  about: { readonly region: string; readonly serverName: string; readonly version: string }
  world: { readonly revision: number }
  sessions: { readonly connected: number }
  isLeading: () => boolean
  processStatus: () => ProcessStatus
  clock: Clock
}): CallerBinding {
  const { about, world, sessions, clock } = deps
  return route(api.serverShow, async () => {
    const { uptimeMs, residentBytes, heapUsedBytes, loopDelay } = deps.processStatus()
    return {
      name: about.serverName,
      region: about.region,
      version: about.version,
      atMs: clock.nowMs(),
      uptimeMs,
      revision: world.revision,
      isLeading: deps.isLeading(),
      hostsConnected: sessions.connected,
      memory: { residentBytes, heapUsedBytes },
      eventLoop: loopDelay,
    }
  })
}
