import { formatBytes } from '@nubo/base'
import type { VmView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { paintState } from '../output/colour.ts'
import { renderFields } from '../output/table.ts'
import { age } from '../output/values.ts'
import { generationText, labelsText, placementSection, portsSection } from './instance-show.ts'

/** A VM as a person reads it, in sections. */
export function vmDetails(context: CommandContext, one: VmView): string {
  const { stdout, clock } = context.surroundings
  const title = `${one.name}  ${paintState(one.state, stdout)} since ${age(clock, one.sinceMs)}\n`
  const disks = one.disks.map(({ name, sizeBytes }) => `${name} ${formatBytes(sizeBytes)}`)
  const fields = renderFields([
    ['reason', one.reason === null ? null : `${one.reason.text} (${one.reason.code})`],
    ['id', one.id],
    ['host', one.host ?? 'none'],
    ['address', `${one.address} in ${one.network}/${one.subnet}`],
    ['image', one.image],
    ['processors', one.cpus],
    ['memory', formatBytes(one.memoryBytes)],
    ['disks', disks.join(', ')],
    ['accelerator', one.accelerator],
    ['up', one.startedAtMs === null ? null : age(clock, one.startedAtMs)],
    ['restarts', one.restarts],
    ['recovery', one.recovery],
    ['priority', one.priority],
    ['labels', labelsText(one.labels)],
    ['generation', generationText(one)],
    ['epoch', one.epoch],
    ['age', age(clock, one.createdAtMs)],
  ])
  return title + fields + portsSection(context, one) + placementSection(context, one)
}
