/** What people are shown of sets and of VMs alike. */
import type { SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { renderFields, renderTable } from '../output/table.ts'
import { age } from '../output/values.ts'

/** 'key=value, …' */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')
}

/** Which generation the host has reached. */
export function generationText(one: Pick<SetView, 'generation' | 'foundGeneration'>): string {
  return one.generation === one.foundGeneration
    ? String(one.generation)
    : `${one.generation} wanted, ${one.foundGeneration} reached`
}

/** A table under its title. */
export function section(title: string, table: string): string {
  return `\n${title}\n${table.replaceAll(/^(?=.)/gm, '  ')}`
}

/** What a section's table may take. */
export function widthOf(context: CommandContext): number | undefined {
  const width = context.tableWidth
  return width === undefined ? undefined : width - 2
}

export function portsSection(context: CommandContext, one: Pick<SetView, 'ports'>): string {
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

/** Where it was placed and why; `next` tells how to see every host, where there is a way. */
export function placementSection(
  context: CommandContext,
  { placement: choice, host }: Pick<SetView, 'placement' | 'host'>,
  next?: string,
): string {
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
        (next === undefined ? '' : `  all of them, as they are now: ${next}\n`)
  return `\nPLACEMENT\n${fields}${section('', table).slice(1)}${rest}`
}
