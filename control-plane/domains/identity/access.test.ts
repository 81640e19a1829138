// Proves who may do what where: tokens of a project, tokens of an account, tokens of both, and operators.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccountId, MemberId, ProjectId } from '@nubo/base'
import { tokenRow } from '../../host-sessions/testing/rows.ts'
import type { MemberRow, ProjectRow, TokenRow } from '../../world/index.ts'
import { ownProjects, roleIn, type AccessFacts } from './access.ts'

const shop = 'shop-id' as ProjectId
const bank = 'bank-id' as ProjectId
const alice = 'alice-id' as AccountId

function facts(
  roles: Partial<Record<'shop' | 'bank' | 'default', MemberRow['role']>>,
): AccessFacts {
  const projects = ['shop', 'bank', 'default'].map((name) => ({
    id: `${name}-id` as ProjectId,
    accountId: alice,
    name,
    createdAtMs: 1,
  })) satisfies ProjectRow[]
  const members = Object.entries(roles).map(([name, role]) => ({
    id: `member-${name}` as MemberId,
    projectId: `${name}-id` as ProjectId,
    accountId: alice,
    role,
    createdAtMs: 1,
  }))
  return {
    member: {
      by: (index, key) =>
        members.filter((row) =>
          index === 'account' ? row.accountId === key : `${row.projectId}/${row.accountId}` === key,
        ),
    },
    project: {
      get: (id) => projects.find((row) => row.id === id),
      by: (_index, name) => projects.filter((row) => row.name === name),
    },
  }
}

const token = (changes: Partial<TokenRow>): TokenRow =>
  tokenRow({ projectId: null, accountId: null, ...changes })

test('the role of a token in a project', () => {
  const cases: [
    string,
    Partial<TokenRow>,
    MemberRow['role'] | undefined,
    TokenRow['role'] | undefined,
  ][] = [
    ['of the project', { projectId: shop, role: 'member' }, undefined, 'member'],
    ['of another project', { projectId: bank, role: 'owner' }, 'owner', undefined],
    ['an operator', { role: 'operator' }, undefined, 'operator'],
    ['an operator with an account', { role: 'operator', accountId: alice }, 'viewer', 'operator'],
    ['of an account that is no member', { accountId: alice, role: 'owner' }, undefined, undefined],
    ['the lower of both: the membership', { accountId: alice, role: 'owner' }, 'viewer', 'viewer'],
    ['the lower of both: the token', { accountId: alice, role: 'viewer' }, 'owner', 'viewer'],
    ['the same', { accountId: alice, role: 'member' }, 'member', 'member'],
    ['of both', { projectId: shop, accountId: alice, role: 'owner' }, 'member', 'member'],
    [
      'of both, no longer a member',
      { projectId: shop, accountId: alice, role: 'owner' },
      undefined,
      undefined,
    ],
    [
      'of both, elsewhere',
      { projectId: bank, accountId: alice, role: 'owner' },
      'owner',
      undefined,
    ],
  ]
  for (const [what, changes, membership, expected] of cases) {
    const known = facts(membership === undefined ? {} : { shop: membership })
    assert.equal(roleIn(known, token(changes), shop), expected, what)
  }
})

test('the project that a call means when it names none', () => {
  const names = (changes: Partial<TokenRow>, roles: Parameters<typeof facts>[0]): string[] =>
    ownProjects(facts(roles), token(changes), 'default').map(({ name }) => name)
  assert.deepEqual(names({ role: 'operator' }, {}), ['default'])
  assert.deepEqual(names({ projectId: shop }, {}), ['shop'])
  assert.deepEqual(names({ projectId: shop, accountId: alice }, {}), [])
  assert.deepEqual(names({ accountId: alice }, {}), [])
  assert.deepEqual(names({ accountId: alice }, { shop: 'viewer' }), ['shop'])
  assert.deepEqual(names({ accountId: alice }, { shop: 'viewer', bank: 'owner' }), ['shop', 'bank'])
  assert.deepEqual(names({ accountId: alice }, { shop: 'viewer', default: 'viewer' }), ['default'])
})
