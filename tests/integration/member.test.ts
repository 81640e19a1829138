// Proves that an account acts where it is a member, with its role, on both servers; and that losing one holds at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Role } from '@nubo/contracts'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
  waitSet,
} from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'

test('accounts and members', async (t) => {
  const region = await TestRegion.open(t)
  const { operator } = region
  await joinHost(region, { name: 'h1' })
  const shop = await makeProject(region, 'shop')
  const bank = await makeProject(region, 'bank')
  const newAccount = async (name: string) => {
    await operator.accountCreate({ body: { name } })
    const { secret } = await operator.tokenCreate({ body: { name: `${name}-key`, account: name } })
    await everywhere(region)
    return region.client(secret)
  }
  const alice = await newAccount('alice')
  const bob = await newAccount('bob')
  const setRole = (account: string, role: Role, project = 'shop') =>
    operator.memberSet({ params: { id: account }, query: { project }, body: { role } })
  const inBank = { query: { project: 'bank' } }

  await t.test('accounts are for operators; names are unique', async () => {
    await refusal(shop.owner.accountList(), 'FORBIDDEN')
    await refusal(shop.owner.accountCreate({ body: { name: 'x' } }), 'FORBIDDEN')
    await refusal(operator.accountCreate({ body: { name: 'alice' } }), 'NAME_TAKEN')
    const { items } = await operator.accountList()
    assert.deepEqual(items.map(({ name }) => name).toSorted(), ['alice', 'bob', 'default'])
    await refusal(shop.owner.tokenCreate({ body: { name: 'x', account: 'alice' } }), 'NOT_FOUND')
  })

  await t.test('who is a member of nothing knows who it is, and of no project', async () => {
    assert.equal((await alice.whoAmI()).project, null)
    assert.deepEqual((await alice.projectList()).items, [])
    await refusal(alice.setList(), 'NOT_FOUND')
    await refusal(alice.setList({ query: { project: 'shop' } }), 'NOT_FOUND')
  })

  await t.test('a member acts with its role, in each project its own', async () => {
    const made = await setRole('alice', 'owner')
    assert.deepEqual([made.account, made.role, made.projectId], ['alice', 'owner', shop.id])
    await everywhere(region)
    await makeNetwork(alice, 'net')
    await refusal(alice.networkList(inBank), 'NOT_FOUND')
    await setRole('alice', 'viewer', 'bank')
    await everywhere(region)
    await alice.networkList(inBank)
    await refusal(
      alice.networkCreate({ ...inBank, body: { name: 'n', cidr: '10.0.0.0/16' } }),
      'FORBIDDEN',
    )
    const several = await refusal(alice.networkList(), 'INVALID_INPUT')
    assert.match(String(several.details['next']), /bank, shop/)
    assert.deepEqual((await alice.projectList()).items.map(({ name }) => name).toSorted(), [
      'bank',
      'shop',
    ])
    // What a token may at most is its own role.
    const small = await alice.tokenCreate({
      body: { name: 'small', account: 'alice', role: 'viewer' },
      query: { project: 'shop' },
    })
    await refusal(
      region.client(small.secret).networkCreate({
        query: { project: 'shop' },
        body: { name: 'n', cidr: '10.0.0.0/16' },
      }),
      'FORBIDDEN',
    )
    // An owner there is none here.
    await refusal(
      alice.tokenCreate({ body: { name: 'x', project: 'bank' }, query: { project: 'shop' } }),
      'FORBIDDEN',
    )
    await operator.memberRemove({ params: { id: 'alice' }, ...inBank })
    await refusal(operator.memberRemove({ params: { id: 'alice' }, ...inBank }), 'NOT_FOUND')
  })

  await t.test(
    'owners add and remove members; others only look; other projects are not there',
    async () => {
      const inShop = { query: { project: 'shop' } }
      await alice.memberSet({ params: { id: 'bob' }, ...inShop, body: { role: 'viewer' } })
      await everywhere(region)
      const { items } = await bob.memberList(inShop)
      assert.deepEqual(items.map(({ account, role }) => `${account} ${role}`).toSorted(), [
        'alice owner',
        'bob viewer',
      ])
      await refusal(
        bob.memberSet({ params: { id: 'bob' }, ...inShop, body: { role: 'owner' } }),
        'FORBIDDEN',
      )
      await refusal(bob.memberRemove({ params: { id: 'alice' }, ...inShop }), 'FORBIDDEN')
      await refusal(bob.memberList(inBank), 'NOT_FOUND')
      await refusal(
        alice.memberSet({ params: { id: 'nobody' }, ...inShop, body: { role: 'viewer' } }),
        'NOT_FOUND',
      )
      await refusal(alice.memberRemove({ params: { id: 'nobody' }, ...inShop }), 'NOT_FOUND')
      await refusal(bank.owner.memberList({ query: { project: 'shop' } }), 'NOT_FOUND')
      const again = await alice.memberSet({
        params: { id: 'bob' },
        ...inShop,
        body: { role: 'viewer' },
      })
      assert.equal(again.role, 'viewer')
    },
  )

  await t.test('the last owner stays an owner, also when two leave at once', async () => {
    await refusal(shop.owner.memberRemove({ params: { id: 'alice' } }), 'LAST_OWNER')
    await refusal(
      shop.owner.memberSet({ params: { id: 'alice' }, body: { role: 'member' } }),
      'LAST_OWNER',
    )
    await setRole('bob', 'owner')
    await everywhere(region)
    const outcomes = await Promise.allSettled([
      region.via(0).memberRemove({ params: { id: 'alice' }, query: { project: 'shop' } }),
      region.via(1).memberRemove({ params: { id: 'bob' }, query: { project: 'shop' } }),
    ])
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    await setRole('alice', 'owner')
    await setRole('bob', 'owner')
    await everywhere(region)
  })

  await t.test('a lost role ends watches, streams and tokens that were made with it', async () => {
    const inShop = { query: { project: 'shop' } }
    await importRootfs(shop.member, 'web')
    await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))
    await waitSet(shop.member, 'web', ({ state }) => state === 'running')
    const made = await bob.tokenCreate({ body: { name: 'bobs' }, ...inShop })
    await everywhere(region)
    await region.client(made.secret).setList()
    const watching = (async () => {
      for await (const event of bob.watch({ project: 'shop' }, { outageMaxMs: 1_000 }))
        assert.ok(event)
    })()
    const watchEnd = refusal(watching, 'NOT_FOUND')
    const stream = await bob.openStream(
      await bob.setLogs({ params: { id: 'web' }, ...inShop, body: { follow: true } }),
    )
    const exec = await bob.openStream(
      await bob.setExec({ params: { id: 'web' }, ...inShop, body: { command: ['hang'] } }),
    )
    await setRole('bob', 'viewer')
    assert.equal((await exec.ended).error?.code, 'UNAUTHENTICATED')
    await everywhere(region)
    await bob.setList(inShop)
    await refusal(bob.tokenList({ query: { project: 'shop' } }), 'FORBIDDEN')
    await operator.memberRemove({ params: { id: 'bob' }, ...inShop })
    await watchEnd
    assert.equal((await stream.ended).error?.code, 'UNAUTHENTICATED', 'a viewer could still read')
    await everywhere(region)
    await refusal(bob.setList(inShop), 'NOT_FOUND')
    await refusal(region.client(made.secret).setList(), 'NOT_FOUND')
  })

  await t.test('an account that is a member stays; else it goes with its tokens', async () => {
    await refusal(operator.accountRemove({ params: { id: 'alice' } }), 'IN_USE')
    await refusal(operator.accountRemove({ params: { id: 'default' } }), 'IN_USE')
    await operator.accountRemove({ params: { id: 'bob' } })
    await everywhere(region)
    await refusal(bob.whoAmI(), 'UNAUTHENTICATED')
  })

  await t.test('an empty project goes with its members', async () => {
    await operator.projectCreate({ body: { name: 'short', account: 'alice' } })
    await setRole('alice', 'owner', 'short')
    await operator.projectRemove({ params: { id: 'short' } })
    await everywhere(region)
    for (const { region: one } of region.servers)
      assert.ok(
        [...one.world.member.values()].every(({ projectId }) => one.world.project.get(projectId)),
      )
  })
})
