import { styleText } from 'node:util'
import { formatBytes, formatCpuMillis } from '@nubo/base'
import type { FieldChange, Plan, PlannedChange, PlanProblem } from '@nubo/contracts'
import type { TerminalOutput } from '../surroundings.ts'
import { plainText } from './values.ts'

const symbols = {
  create: ['  +', 'green'],
  update: ['  ~', 'yellow'],
  recreate: ['-/+', 'magenta'],
  remove: ['  -', 'red'],
  adopt: ['  =', 'cyan'],
} as const satisfies Record<PlannedChange['action'], readonly [string, string]>

const counted: readonly (readonly [PlannedChange['action'], string])[] = [
  ['create', 'to create'],
  ['update', 'to update'],
  ['recreate', 'to re-create'],
  ['remove', 'to remove'],
  ['adopt', 'to take over'],
]

/** A plan as a person reads it: a line for each thing, a line for each field that differs, and nothing twice. */
export function planText(plan: Plan, stream: TerminalOutput): string {
  const { changes } = plan
  const titles = changes.map(({ kind, name }) => `${kind} ${name}`)
  const width = Math.max(0, ...titles.map(({ length }) => length))
  const lines = changes.flatMap((change, at) =>
    changeLines(change, (titles[at] ?? '').padEnd(width), stream),
  )
  const orphans = plan.orphans.filter(
    ({ kind, name }) => !changes.some((one) => one.kind === kind && one.name === name),
  )
  return [
    ...lines,
    ...(lines.length === 0 ? [] : ['']),
    summaryOf(plan),
    ...(orphans.length === 0
      ? []
      : [
          `no longer named: ${orphans.map(({ kind, name }) => `${kind} ${name}`).join(', ')}; --prune removes them`,
        ]),
    ...plan.warnings.map(
      (text) => `${styleText('yellow', 'note:', { stream })} ${plainText(text)}`,
    ),
  ]
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

/** 'manifest shop: 2 to create, 1 to update, 4 unchanged' */
function summaryOf({ manifest, changes, unchanged }: Plan): string {
  const counts = counted.flatMap(([action, text]) => {
    const count = changes.filter((change) => change.action === action).length
    return count === 0 ? [] : [`${count} ${text}`]
  })
  if (counts.length === 0)
    return `manifest ${manifest}: nothing to change, ${unchanged} as described`
  return `manifest ${manifest}: ${[...counts, `${unchanged} unchanged`].join(', ')}`
}

function changeLines(change: PlannedChange, title: string, stream: TerminalOutput): string[] {
  const { action, fields, notes, why } = change
  const [symbol, colour] = symbols[action]
  const isNew = action === 'create'
  const restarts = fields.some(({ effect }) => effect === 'restarting') && action === 'update'
  const facts = [
    ...(isNew ? fields.map(factOf) : []),
    ...(isNew || why === null ? [] : [why]),
    ...(restarts ? ['its containers start anew'] : []),
    ...notes,
  ]
  const head = `${styleText(colour, `${symbol} ${title}`, { stream })}  ${plainText(facts.join(', '))}`
  if (isNew) return [head]
  const width = Math.max(0, ...fields.map(({ path }) => path.length))
  return [head, ...fields.map((field) => `      ${fieldText(field, width)}`)]
}

/** 'cidr 10.0.0.0/16', '0.5 cores', '64 MiB' */
function factOf({ path, after }: FieldChange): string {
  if (path === 'cpuMillis') return `${valueText(path, after)} cores`
  if (path === 'memoryBytes') return valueText(path, after)
  return `${path.replace(/^containers\./, '')} ${valueText(path, after)}`
}

function fieldText({ path, before, after }: FieldChange, width: number): string {
  const isHidden = before !== null && after !== null && before === after
  const change = isHidden
    ? 'changed, not shown'
    : `${valueText(path, before)} → ${valueText(path, after)}`
  return plainText(`${path.padEnd(width)}  ${change}`)
}

function valueText(path: string, value: unknown): string {
  if (value === null || value === undefined) return 'none'
  if (typeof value === 'number' && path.endsWith('memoryBytes')) return formatBytes(value)
  if (typeof value === 'number' && path.endsWith('cpuMillis')) return formatCpuMillis(value)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** What stands in the way, each with where it stands and what to do. */
export function problemsText(
  problems: readonly PlanProblem[],
  around: { stream: TerminalOutput; placeOf: (problem: PlanProblem) => string | undefined },
): string {
  const { stream } = around
  return problems
    .map((problem) => {
      const { kind, name, text, next } = problem
      const place = around.placeOf(problem)
      const head = styleText('red', '  !', { stream })
      const where = place === undefined ? '' : ` (${place})`
      return `${head} ${plainText(`${kind} ${name}: ${text}${where}`)}\n${next === '' ? '' : `      next: ${plainText(next)}\n`}`
    })
    .join('')
}
