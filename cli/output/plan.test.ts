// Proves how a plan reads: one line for a thing, one for a field that differs, in colour only on a terminal, and no
// text of others that steers it.
import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'node:test'
import type { FieldChange, Plan, PlannedChange } from '@nubo/contracts'
import { fakeTerminal } from '../testing/terminal.ts'
import { planText, problemsText } from './plan.ts'

const pipe = fakeTerminal({ isTty: false }).surroundings.stdout

const field = (path: string, before: unknown, after: unknown): FieldChange => ({
  path,
  before,
  after,
  effect: path.startsWith('containers') ? 'restarting' : 'mutable',
  why: '',
})

const change = (one: Pick<PlannedChange, 'action' | 'name'> & Partial<PlannedChange>) => ({
  kind: 'set' as const,
  id: null,
  fields: [],
  why: null,
  notes: [],
  ...one,
})

const plan: Plan = {
  manifest: 'shop',
  revision: 4,
  check: '4-ab',
  unchanged: 3,
  orphans: [{ kind: 'set', name: 'old' }],
  warnings: ['set db is stopped'],
  problems: [],
  changes: [
    change({
      action: 'create',
      name: 'web',
      fields: [field('network', null, 'net'), field('cpuMillis', null, 250)],
      notes: ['would go to h1'],
    }),
    change({
      action: 'update',
      name: 'worker',
      fields: [
        field('containers.main.command', null, ['sh', '-c', 'true']),
        field('containers.main.env.KEY', '(hidden)', '(hidden)'),
        field('memoryBytes', 2 ** 26, 2 ** 27),
      ],
    }),
    change({ action: 'recreate', name: 'db', why: 'address: it is known', notes: ['soon'] }),
    change({ action: 'remove', name: 'gone' }),
  ],
}

test('a plan in a pipe', () => {
  assert.deepEqual(planText(plan, pipe).split('\n'), [
    '  + set web     network net, 0.25 cores, would go to h1',
    '  ~ set worker  its containers start anew',
    '      containers.main.command  none → ["sh","-c","true"]',
    '      containers.main.env.KEY  changed, not shown',
    '      memoryBytes              64 MiB → 128 MiB',
    '-/+ set db      address: it is known, soon',
    '  - set gone',
    '',
    'manifest shop: 1 to create, 1 to update, 1 to re-create, 1 to remove, 3 unchanged',
    'no longer named: set old; --prune removes them',
    'note: set db is stopped',
    '',
  ])
})

test('nothing to change is one line', () => {
  assert.equal(
    planText({ ...plan, changes: [], orphans: [], warnings: [] }, pipe),
    'manifest shop: nothing to change, 3 as described\n',
  )
})

test('text of others cannot steer the terminal', () => {
  const evil = 'a\u001b[2J\nb'
  const text = problemsText(
    [{ code: 'IN_USE', kind: 'set', name: 'web', field: '', text: evil, next: evil }],
    { stream: pipe, placeOf: () => 'shop.yaml:3' },
  )
  assert.equal(text, '  ! set web: a b (shop.yaml:3)\n      next: a b\n')
  assert.equal(stripVTControlCharacters(text), text)
})
