// Proves of every call that may change something, and of every request of hosts, that it leaves a row when it is done and
// when it is refused. A NEW CALL NEEDS A STEP HERE, or a reason why it leaves no row.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { api, type AuditEntry, type Route, type RouteName } from '@nubo/contracts'
import {
  formatJoinToken,
  HOST_CONTRACT_LATEST,
  hostSessionPath,
  parseJoinToken,
} from '@nubo/contracts/host'
import { FakePowerControl } from '@nubo/control-plane'
import { joinRegion, renewIdentity, type Identity } from '@nubo/host-agent'
import { systemClock } from '@nubo/runtime'
import { joinHost } from '../support/hosts.ts'
import { send } from '../support/http.ts'
import { done, everywhere, importRootfs, makeProject, setOf, waitSet } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { recordKernelImage } from '../support/vm-image.ts'
import { waitUntil } from '../support/wait.ts'

/** Calls that leave no row when they are done, and why. Refused ones do. */
const EXEMPT: Partial<Record<RouteName, string>> = {
  planCreate: 'it changes nothing: POST only carries the manifest',
  placeDryRun: 'it reserves nothing and changes nothing',
}

const mutating = Object.entries(api as Readonly<Record<string, Route>>).filter(
  ([, { method }]) => method !== 'GET',
)

async function openRegion(t: Parameters<typeof TestRegion.open>[0]) {
  const power = new FakePowerControl({
    clock: systemClock,
    isOn: () => true,
    powerOff: async () => undefined,
  })
  const region = await TestRegion.open(t, { power })
  const audit = async (query: object = {}): Promise<AuditEntry[]> =>
    (await region.operator.auditList({ query: { limit: 1_000, ...query } })).items
  return { region, audit }
}

test('every call that changes something leaves a row of its own', async (t) => {
  const { region, audit } = await openRegion(t)
  const { operator } = region
  const shop = await makeProject(region, 'shop')
  const { member, owner } = shop
  await joinHost(region, { name: 'h1' })
  await joinHost(region, { name: 'h2' })
  await everywhere(region)
  await recordKernelImage(region, shop, 'kernel')
  const web = { params: { id: 'web' } }
  const vm = { params: { id: 'vm' } }
  const h2 = { params: { id: 'h2' } }
  const manifest = { name: 'm', networks: [{ name: 'applied', cidr: '10.9.0.0/16' }] }
  const steps: [name: RouteName, step: () => Promise<unknown>][] = [
    ['projectCreate', () => operator.projectCreate({ body: { name: 'spare' } })],
    ['accountCreate', () => operator.accountCreate({ body: { name: 'alice' } })],
    ['memberSet', () => owner.memberSet({ params: { id: 'alice' }, body: { role: 'viewer' } })],
    ['memberRemove', () => owner.memberRemove({ params: { id: 'alice' } })],
    ['accountRemove', () => operator.accountRemove({ params: { id: 'alice' } })],
    ['projectRemove', () => operator.projectRemove({ params: { id: 'spare' } })],
    ['tokenCreate', () => owner.tokenCreate({ body: { name: 'spare' } })],
    ['tokenRevoke', () => owner.tokenRevoke({ params: { id: 'spare' } })],
    ['quotaSet', () => operator.quotaSet({ query: { project: 'shop' }, body: { networks: 9 } })],
    ['networkCreate', () => member.networkCreate({ body: { name: 'net', cidr: '10.0.0.0/16' } })],
    [
      'subnetCreate',
      () => member.subnetCreate({ body: { network: 'net', name: 'net', cidr: '10.0.1.0/24' } }),
    ],
    ['portCreate', () => member.portCreate({ body: { name: 'vip', network: 'net' } })],
    [
      'portBind',
      () =>
        operator.portBind({
          params: { id: 'vip' },
          query: { project: 'shop' },
          body: { host: 'h2', interfaceName: 'eth9' },
        }),
    ],
    [
      'portUnbind',
      () => operator.portUnbind({ params: { id: 'vip' }, query: { project: 'shop' } }),
    ],
    ['portRemove', () => member.portRemove({ params: { id: 'vip' } })],
    ['imageImport', () => importRootfs(member, 'web')],
    ['setCreate', async () => done(member, await member.setCreate({ body: setOf('web') }))],
    [
      'setUpdate',
      async () => done(member, await member.setUpdate({ ...web, body: setOf('web', ['two']) })),
    ],
    ['setExec', () => member.setExec({ ...web, body: { command: ['true'] } })],
    ['setLogs', () => member.setLogs({ ...web, body: {} })],
    ['setRestart', async () => done(member, await member.setRestart(web))],
    ['setStop', async () => done(member, await member.setStop(web))],
    ['setStart', async () => done(member, await member.setStart(web))],
    ['planCreate', () => member.planCreate({ body: { manifest } })],
    ['placeDryRun', () => member.placeDryRun({ body: setOf('other') })],
    ['applyCreate', async () => done(member, await member.applyCreate({ body: { manifest } }))],
    [
      'operationCancel',
      async () => {
        const never = { ...setOf('never'), placement: { hostLabels: { is: 'nowhere' } } }
        const { id } = await member.setCreate({ body: never })
        await member.operationCancel({ params: { id } })
        await done(member, await member.setRemove({ params: { id: 'never' } }))
      },
    ],
    ['setRemove', async () => done(member, await member.setRemove(web))],
    // No host here runs VMs: it waits for one, which may be stopped, too.
    ['vmCreate', () => member.vmCreate({ body: { name: 'vm', network: 'net', image: 'kernel' } })],
    ['vmPause', () => member.vmPause(vm)],
    ['vmResume', () => member.vmResume(vm)],
    ['vmRestart', () => member.vmRestart(vm)],
    ['vmStop', () => member.vmStop({ ...vm, body: {} })],
    ['vmStart', () => member.vmStart(vm)],
    ['vmRemove', async () => done(member, await member.vmRemove(vm))],
    ['imageRemove', () => member.imageRemove({ params: { id: 'web' } })],
    ['subnetRemove', () => member.subnetRemove({ params: { id: 'net' } })],
    ['networkRemove', () => member.networkRemove({ params: { id: 'net' } })],
    ['hostInvite', () => operator.hostInvite({ body: { name: 'h3' } })],
    ['hostCordon', () => operator.hostCordon(h2)],
    ['hostUncordon', () => operator.hostUncordon(h2)],
    ['hostMaintenanceBegin', () => operator.hostMaintenanceBegin(h2)],
    ['hostMaintenanceEnd', () => operator.hostMaintenanceEnd(h2)],
    ['hostDrain', async () => done(operator, await operator.hostDrain(h2))],
    [
      'hostPowerSet',
      () =>
        operator.hostPowerSet({
          ...h2,
          body: { redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1', user: 'u', password: 'p' },
        }),
    ],
    ['hostFence', () => operator.hostFence({ ...h2, body: { force: true } })],
    ['hostPowerClear', () => operator.hostPowerClear(h2)],
    ['hostRemove', () => operator.hostRemove({ params: { id: 'h3' } })],
  ]
  assert.deepEqual(
    steps.map(([name]) => name).toSorted(),
    mutating.map(([name]) => name).toSorted(),
    'a call has no step, or a step has no call',
  )
  for (const [name, step] of steps) {
    const before = (await audit()).filter(({ call }) => call === name).length
    await step()
    const rows = (await audit()).filter(({ call }) => call === name)
    if (EXEMPT[name] !== undefined) assert.equal(rows.length, before, `${name} is exempt`)
    // Of an apply each step has a row besides, with the id of the operation as its request.
    else if (name === 'applyCreate') assert.equal(rows.length, before + 2)
    else assert.equal(rows.length, before + 1, `${name} left ${rows.length - before} rows`)
    const [row] = rows
    if (row === undefined) continue
    assert.equal(row.outcome, 'done', name)
    assert.notEqual(row.requestId, null, name)
    assert.ok(row.resource.id !== null || row.resource.name !== null, `${name} names nothing`)
  }
})

test('every call that may change something leaves a row when it is refused', async (t) => {
  const { region, audit } = await openRegion(t)
  for (const [, { method, path, form, body }] of mutating)
    await send(region.server(0).url, {
      method,
      path: path.replace(':id', 'web') + (form === 'upload' ? '?name=web' : ''),
      token: 'nubo-wrong',
      body: body === undefined ? undefined : {},
    })
  const refused = await waitUntil(
    () => audit({ outcome: 'refused' }),
    (rows) => rows.length >= mutating.length,
    { what: 'all refusals are told' },
  )
  assert.deepEqual(
    refused.map(({ call, code, actor }) => `${call} ${code} ${actor}`).toSorted(),
    mutating.map(([name]) => `${name} UNAUTHENTICATED unknown`).toSorted(),
  )
  const shop = await makeProject(region, 'shop')
  for (const body of ['{"name":', Buffer.from([0xff, 0xfe])])
    await send(region.server(0).url, {
      method: 'POST',
      path: '/v1/networks',
      token: shop.tokens.member,
      body,
    })
  const unread = await waitUntil(
    () => audit({ outcome: 'refused', actor: 'shop-member' }),
    (rows) => rows.length >= 2,
    { what: 'bodies that cannot be read' },
  )
  assert.deepEqual(unread.map(({ call, code }) => [call, code]).toReversed(), [
    ['networkCreate', 'INVALID_INPUT'],
    ['networkCreate', 'INVALID_INPUT'],
  ])
})

test('hosts: joins, renewals and refusals are told; what only reads is not', async (t) => {
  const { region, audit } = await openRegion(t)
  const { operator } = region
  const shop = await makeProject(region, 'shop')
  const { identity } = await joinHost(region, { name: 'h1' })
  const ofHosts = async (query: object = {}) =>
    (await audit(query))
      .filter(({ call }) => /^host(Join|Renew|ImageToken|Session|Stream)$/.test(call))
      .map(({ call, actor, code, resource }) => [call, actor, code, resource.name ?? resource.id])

  await t.test('a join is told with the host as its actor, in the same commit', async () => {
    assert.deepEqual(await ofHosts(), [['hostJoin', 'host:h1', null, 'h1']])
    const [row] = await audit({ actor: 'host:h1' })
    assert.equal(row?.resource.id, identity.hostId)
    assert.notEqual(row?.beforeSha256, row?.afterSha256)
  })

  await t.test('a renewal is told; pulling an image is not', async () => {
    await renewIdentity({
      identity,
      servers: region.hostContracts,
      stateDir: mkdtempSync(join(region.folder, 'renew-')),
      clock: systemClock,
      signal: AbortSignal.timeout(10_000),
    })
    await shop.member.networkCreate({ body: { name: 'net', cidr: '10.0.0.0/16' } })
    await shop.member.subnetCreate({
      body: { network: 'net', name: 'net', cidr: '10.0.1.0/24' },
    })
    await importRootfs(shop.member, 'web')
    await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))
    await waitSet(shop.member, 'web', ({ state }) => state === 'running')
    assert.deepEqual(await ofHosts(), [
      ['hostRenew', 'host:h1', null, 'h1'],
      ['hostJoin', 'host:h1', null, 'h1'],
    ])
  })

  await t.test('what hosts are refused is told, with the name if they have one', async () => {
    const { token } = await operator.hostInvite({ body: { name: 'h2' } })
    const parsed = parseJoinToken(token)
    assert.ok(parsed !== undefined)
    const stateDir = mkdtempSync(join(region.folder, 'guess-'))
    const guess = formatJoinToken({ ...parsed, secret: 'guess' })
    await assert.rejects(joinRegion({ token: guess, stateDir, clock: systemClock }))
    const ask = (path: string, headers?: Record<string, string>) =>
      askAs(identity, { server: region.hostContracts[0] ?? '', path, headers })
    assert.equal(await ask('/host/v1/image-token'), 404)
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    }
    assert.equal(await ask(`/host/v1/streams/${'a'.repeat(43)}`, upgrade), 404)
    const anonymous = { ca: identity.ca }
    assert.equal(
      await askAs(anonymous, { server: region.hostContracts[0] ?? '', path: '/host/v1/renew' }),
      401,
    )
    assert.equal(
      await askAs(anonymous, {
        server: region.hostContracts[0] ?? '',
        path: hostSessionPath(HOST_CONTRACT_LATEST),
        headers: upgrade,
      }),
      401,
    )
    const refused = await waitUntil(
      () => ofHosts({ outcome: 'refused' }),
      (rows) => rows.length >= 5,
      { what: 'refusals of hosts' },
    )
    assert.deepEqual(refused.toReversed(), [
      ['hostJoin', 'unknown', 'JOIN_REFUSED', 'h2'],
      ['hostImageToken', 'host:h1', 'NOT_FOUND', identity.hostId],
      ['hostStream', 'host:h1', 'NOT_FOUND', identity.hostId],
      ['hostRenew', 'unknown', 'UNAUTHENTICATED', null],
      ['hostSession', 'unknown', 'UNAUTHENTICATED', null],
    ])
    assert.ok(!JSON.stringify(await audit()).includes(parsed.secret))
  })
})

/** The status of one request of the host contract; as an upgrade if the headers say so, else a POST for an image. */
async function askAs(
  shown: Pick<Identity, 'ca'> & Partial<Pick<Identity, 'certificate' | 'key'>>,
  asked: { server: string; path: string; headers?: Record<string, string> | undefined },
): Promise<number> {
  const [host = '', port] = asked.server.split(':')
  const request = httpsRequest({
    host,
    port: Number(port),
    path: asked.path,
    method: asked.headers === undefined ? 'POST' : 'GET',
    headers: asked.headers ?? {},
    agent: false,
    ca: shown.ca,
    cert: shown.certificate,
    key: shown.key,
  })
  request.end(asked.headers === undefined ? JSON.stringify({ repository: 'shop/none' }) : undefined)
  const [response] = await once(request, 'response', { signal: AbortSignal.timeout(10_000) })
  response.resume()
  return Number(response.statusCode)
}
