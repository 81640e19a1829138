import { formatBytes, formatCpuMillis } from '@nubo/base'
import type { SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { paintState } from '../output/colour.ts'
import { renderFields, renderTable } from '../output/table.ts'
import { age } from '../output/values.ts'

/** A set as a person reads it, in sections. */
export function setDetails(context: CommandContext, one: SetView): string {
  const { stdout, clock } = context.surroundings
  const reached =
    one.generation === one.foundGeneration
      ? String(one.generation)
      : `${one.generation} wanted, ${one.foundGeneration} reached`
  const labels = Object.entries(one.labels).map(([key, value]) => `${key}=${value}`)
  const title = `${one.name}  ${paintState(one.state, stdout)} since ${age(clock, one.sinceMs)}\n`
  const fields = renderFields([
    ['reason', one.reason === null ? null : `${one.reason.text} (${one.reason.code})`],
    ['id', one.id],
    ['host', one.host ?? 'none'],
    ['address', `${one.address} in ${one.network}/${one.subnet}`],
    ['limits', `${formatCpuMillis(one.cpuMillis)} cores, ${formatBytes(one.memoryBytes)}`],
    ['recovery', one.recovery],
    ['priority', one.priority],
    ['labels', labels.join(', ')],
    ['generation', reached],
    ['epoch', one.epoch],
    ['age', age(clock, one.createdAtMs)],
  ])
  return title + fields + containers(context, one) + ports(context, one) + placement(context, one)
}

function section(title: string, table: string): string {
  return `\n${title}\n${table.replaceAll(/^(?=.)/gm, '  ')}`
}

function widthOf(context: CommandContext): number | undefined {
  const width = context.tableWidth
  return width === undefined ? undefined : width - 2
}

function containers(context: CommandContext, one: SetView): string {
  const { stdout, clock } = context.surroundings
  const sorted = one.containers.toSorted((a, b) => a.index - b.index)
  const table = renderTable(
    sorted,
    [
      { header: 'NAME', value: ({ name }) => name },
      {
        header: 'STATE',
        value: ({ state }) => state,
        paint: (cell) => paintState(cell, stdout),
      },
      { header: 'IMAGE', value: ({ image }) => image },
      { header: 'INDEX', value: ({ index }) => index, align: 'right' },
      { header: 'HEALTH', value: ({ health }) => health },
      { header: 'RESTARTS', value: ({ restarts }) => restarts, align: 'right' },
      { header: 'LAST EXIT', value: ({ exitCode }) => exitCode, align: 'right' },
      {
        header: 'UP',
        value: ({ startedAtMs, state }) =>
          startedAtMs === null || state !== 'running' ? null : age(clock, startedAtMs),
      },
      { header: 'REASON', value: ({ reason }) => reason?.text ?? null },
    ],
    widthOf(context),
  )
  return section('CONTAINERS', table)
}

function ports(context: CommandContext, one: SetView): string {
  if (one.ports.length === 0) return ''
  const table = renderTable(
    one.ports,
    [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'ADDRESS', value: ({ address }) => address },
      { header: 'MAC', value: ({ mac }) => mac },
      { header: 'NETWORK', value: ({ network }) => network },
      { header: 'SUBNET', value: ({ subnet }) => subnet },
    ],
    widthOf(context),
  )
  return section('PORTS', table)
}

function placement(context: CommandContext, one: SetView): string {
  const { placement: choice, host } = one
  if (choice === null) return ''
  const { clock } = context.surroundings
  const fields = renderFields([
    ['host', host ?? 'none could take it'],
    ['score', host === null ? null : Number(choice.score.toFixed(3))],
    ['spread by', choice.spread],
    ['never two in one', choice.antiAffinity],
    ['decided', choice.decidedAtMs === null ? null : `${age(clock, choice.decidedAtMs)} ago`],
  ])
  if (choice.rejected.length === 0) return `\nPLACEMENT\n${fields}`
  const table = renderTable(
    choice.rejected,
    [
      { header: 'REJECTED HOST', value: (rejected) => rejected.host },
      { header: 'WHY', value: (rejected) => rejected.reason },
    ],
    widthOf(context),
  )
  const others = choice.counts.reduce((sum, { hosts }) => sum + hosts, 0)
  const rest =
    choice.rejected.length >= others
      ? ''
      : `  ${choice.counts.map(({ reason, hosts }) => `${hosts} × ${reason}`).join(', ')}\n` +
        `  all of them, as they are now: nubo set show ${one.name} --hosts\n`
  return `\nPLACEMENT\n${fields}${section('', table).slice(1)}${rest}`
}
