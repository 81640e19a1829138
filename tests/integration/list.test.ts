// What a reader of lists sees on either server: lines and pages tell the same, filters too, and limits hold.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, integerBelow } from '@nubo/base'
import { send } from '../support/http.ts'
import { joinHost } from '../support/hosts.ts'
import { everywhere, importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'

const lines = { accept: 'application/x-ndjson' }

test('lists as lines and as pages, on two servers', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const member = region.client(shop.tokens.member)
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  await joinHost(region, { name: 'host-1' })
  for (let at = 0; at < 6; at++) await member.setCreate({ body: setOf(`web-${at}`) })
  await everywhere(region)
  const paths = [
    '/v1/sets',
    '/v1/sets?host=host-1',
    '/v1/sets?host=nowhere',
    '/v1/ports',
    '/v1/ports?network=net',
    '/v1/networks',
    '/v1/subnets',
    '/v1/images',
    '/v1/operations',
  ]

  await t.test(
    'lines at a revision are the page at that revision, whoever tells them',
    async () => {
      for (const path of paths) {
        for (const { url } of region.servers) {
          // Until nothing happened between the two.
          for (;;) {
            const asLines = await send(url, { path, token: shop.tokens.member, headers: lines })
            const asPage = await send(url, { path, token: shop.tokens.member })
            assert.equal(asLines.status, 200, asLines.text)
            assert.match(String(asLines.headers['content-type']), /^application\/x-ndjson/)
            const { items, revision } = asPage.json as { items: unknown[]; revision: number } // proof: the contract
            if (asLines.headers['nubo-revision'] !== String(revision)) continue
            const told = asLines.text.split('\n').slice(0, -1)
            assert.deepEqual(
              told.map((line): unknown => JSON.parse(line)),
              items,
              path,
            )
            break
          }
        }
      }
    },
  )

  await t.test('operators and other projects get what is theirs', async () => {
    const bank = await makeProject(region, 'bank')
    await everywhere(region)
    const { url } = region.server(1)
    const ofBank = await send(url, { path: '/v1/sets', token: bank.tokens.member, headers: lines })
    assert.equal(ofBank.status, 200)
    assert.equal(ofBank.text, '')
    const all = await send(url, {
      path: '/v1/sets?allProjects=true',
      token: region.operatorToken,
      headers: lines,
    })
    assert.equal(all.text.split('\n').length, 7)
    const refused = await send(url, {
      path: '/v1/hosts',
      token: bank.tokens.member,
      headers: lines,
    })
    assert.equal(refused.status, 403)
    assert.match(String(refused.headers['content-type']), /^application\/json/)
  })

  await t.test('refusals are errors of the one shape, also for lines', async () => {
    const { url } = region.server(0)
    const missing = await send(url, {
      path: '/v1/ports?network=none',
      token: shop.tokens.member,
      headers: lines,
    })
    assert.equal(missing.status, 404)
    assert.match(missing.text, /"code":"NOT_FOUND"/)
    const wrong = await send(url, {
      path: '/v1/sets?state=fine',
      token: shop.tokens.member,
      headers: lines,
    })
    assert.equal(wrong.status, 400)
  })

  await t.test(
    'whatever stands in cursors, limits and filters is answered or refused',
    async () => {
      const random = seededRandom(5)
      const pieces = [
        'a',
        '0',
        '-',
        '%00',
        '%27',
        '%ff',
        '..',
        '9'.repeat(40),
        'running',
        'web',
        '1e9',
        'null',
      ]
      const any = (): string =>
        Array.from(
          { length: integerBelow(random, 4) },
          () => pieces[integerBelow(random, pieces.length)],
        ).join('')
      for (let at = 0; at < 150; at++) {
        const query = ['cursor', 'limit', 'state', 'host', 'minRevision']
          .filter((key) => key !== 'minRevision' && integerBelow(random, 2) === 0)
          .map((key) => `${key}=${any()}`)
          .join('&')
        const reply = await send(region.server(at % 2).url, {
          path: `/v1/sets?${query}`,
          token: shop.tokens.member,
          headers: at % 3 === 0 ? lines : {},
        })
        assert.ok(reply.status === 200 || reply.status === 400, `${query}: ${reply.status}`)
      }
    },
  )
})

test('requests beyond what is taken at once are refused at once, before their tokens are looked at', async (t) => {
  const region = await TestRegion.open(t, { servers: 1, limits: { requestsMax: 1 } })
  const { url } = region.server(0)
  await makeNetwork(region.operator, 'net')
  // It waits for a revision that will not come.
  const waiting = send(url, {
    path: '/v1/sets?minRevision=999999999',
    token: region.operatorToken,
  })
  for (;;) {
    const reply = await send(url, { path: '/v1/whoami', token: 'wrong' })
    if (reply.status === 401) continue
    assert.equal(reply.status, 429)
    assert.match(reply.text, /"limit":"1 requests at once"/)
    break
  }
  assert.equal((await waiting).status, 503)
  const after = await send(url, { path: '/v1/whoami', token: region.operatorToken })
  assert.equal(after.status, 200)
})
