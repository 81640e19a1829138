import { formatDurationMs } from '@nubo/base'
import type { LabStatus } from './status.ts'
import { table } from './terminal.ts'

/** What `nubo status` prints: where it is, what holds it up and what to do, its hosts and its processes. */
export function statusText(found: LabStatus, nowMs: number): string {
  const engines = Object.entries(found.engines).map(([name, version]) => `${name} ${version}`)
  const busy = found.busyWith === null ? '' : ` (busy: ${found.busyWith})`
  return `Nubo ${found.version} in ${found.home}${busy}
  API       ${found.api.join('  ')}
  registry  ${found.registry}
  engines   ${engines.join(', ')}
  brake     ${brakeText(found, nowMs)}
${attentionText(found)}
${table(
  ['HOST', 'POWER', 'STATE', 'SETS', 'RACK', 'MANAGEMENT', 'TUNNELS', 'CUT', 'NAMESPACE'],
  found.hosts.map((host) => [
    host.name,
    host.power,
    stateText(host),
    host.sets === null ? '?' : String(host.sets),
    host.rack,
    host.managementAddress,
    host.vtepAddress,
    host.cutCables.join(' '),
    host.namespace,
  ]),
)}
${table(
  ['PROCESS', 'STATE', 'PID', 'RESTARTS', ''],
  found.processes.map((one) => [
    one.name,
    one.state,
    String(one.pid ?? ''),
    String(one.restarts),
    one.reason ?? '',
  ]),
)}`
}

function brakeText({ brakes }: LabStatus, nowMs: number): string {
  if (brakes === null) return '? (the control plane does not answer)'
  if (brakes.length === 0) return 'off'
  return brakes
    .map(
      ({ name, hosts, text, sinceMs }) =>
        `HOLDS since ${formatDurationMs(Math.max(0, nowMs - sinceMs))}, because of ${name} (${hosts.join(', ')})
            ${text}
            next: bring them back; or, of each that you have seen to be off: nubo host fence HOST --confirm-off`,
    )
    .join('\n            ')
}

function stateText({ state, remarks }: LabStatus['hosts'][number]): string {
  return state === null ? '?' : [state, ...remarks].join(', ')
}

/** Of each host that is not simply in service one line that says why, or how to learn it. */
function attentionText({ hosts }: LabStatus): string {
  return hosts
    .filter(({ reason, remarks }) => reason !== null || remarks.length > 0)
    .map((host) => {
      const why = host.reason === null ? `; more: nubo host show ${host.name}` : `: ${host.reason}`
      return `  ${host.name.padEnd(9)} ${stateText(host)}${why}\n`
    })
    .join('')
}
