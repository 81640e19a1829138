import { formatBytes, formatCpuMillis } from '@nubo/base'
import type { SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { paintState } from '../output/colour.ts'
import { renderFields, renderTable } from '../output/table.ts'
import { age } from '../output/values.ts'
import {
  generationText,
  labelsText,
  placementSection,
  portsSection,
  section,
  widthOf,
} from './instance-show.ts'

/** A set as a person reads it, in sections. */
export function setDetails(context: CommandContext, one: SetView): string {
  const { stdout, clock } = context.surroundings
  const title = `${one.name}  ${paintState(one.state, stdout)} since ${age(clock, one.sinceMs)}\n`
  const fields = renderFields([
    ['reason', one.reason === null ? null : `${one.reason.text} (${one.reason.code})`],
    ['id', one.id],
    ['host', one.host ?? 'none'],
    ['address', `${one.address} in ${one.network}/${one.subnet}`],
    ['limits', `${formatCpuMillis(one.cpuMillis)} cores, ${formatBytes(one.memoryBytes)}`],
    ['recovery', one.recovery],
    ['priority', one.priority],
    ['labels', labelsText(one.labels)],
    ['generation', generationText(one)],
    ['epoch', one.epoch],
    ['age', age(clock, one.createdAtMs)],
  ])
  const everyHost = `nubo set show ${one.name} --hosts`
  return (
    title +
    fields +
    containers(context, one) +
    portsSection(context, one) +
    placementSection(context, one, everyHost)
  )
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
