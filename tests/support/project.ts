import type { Client } from '@nubo/client'
import type { Image, Operation, SetView } from '@nubo/contracts'
import type { TestRegion } from './region.ts'
import { rootfsTar } from './tar.ts'
import { waitUntil } from './wait.ts'

export interface TestProject {
  readonly id: string
  readonly name: string
  readonly tokens: Readonly<Record<'owner' | 'member' | 'viewer', string>>
  readonly owner: Client
  readonly member: Client
  readonly viewer: Client
}

/** A project with a token of each role; every server knows it. */
export async function makeProject(region: TestRegion, name: string): Promise<TestProject> {
  const { operator } = region
  const { id } = await operator.projectCreate({ body: { name } })
  const secretOf = async (role: 'owner' | 'member' | 'viewer'): Promise<string> =>
    (await operator.tokenCreate({ body: { name: `${name}-${role}`, role, project: name } })).secret
  const tokens = {
    owner: await secretOf('owner'),
    member: await secretOf('member'),
    viewer: await secretOf('viewer'),
  }
  const newest = await operator.projectList()
  await everywhere(region, newest.revision)
  return {
    id,
    name,
    tokens,
    owner: region.client(tokens.owner),
    member: region.client(tokens.member),
    viewer: region.client(tokens.viewer),
  }
}

/** Waits until every server has reached a revision; by default the newest that any of them has. */
export async function everywhere(region: TestRegion, revision?: number): Promise<void> {
  const newest =
    revision ?? Math.max(...region.servers.map((server) => server.region.world.revision))
  await Promise.all(region.servers.map((server) => server.region.world.reached(newest)))
}

export async function importRootfs(client: Client, name: string, mark?: string): Promise<Image> {
  return client.imageImport({
    query: { name },
    open: async function* () {
      yield rootfsTar(mark)
    },
  })
}

/** A network with one subnet, both of this name. */
export async function makeNetwork(
  client: Client,
  name: string,
  cidrs: { network?: string; subnet?: string } = {},
): Promise<void> {
  await client.networkCreate({ body: { name, cidr: cidrs.network ?? '10.0.0.0/16' } })
  await client.subnetCreate({
    body: { network: name, name, cidr: cidrs.subnet ?? '10.0.1.0/24' },
  })
}

/** The least that makes a set. */
export function setOf(name: string, command?: string[]) {
  return {
    name,
    network: 'net',
    containers: [{ name: 'main', image: 'web', ...(command === undefined ? {} : { command }) }],
  }
}

/** Waits for the end of an operation that must end well. */
export async function done(client: Client, operation: Operation): Promise<Operation> {
  const ended = await client.waitOperation(operation.id)
  if (ended.state !== 'done')
    throw new Error(`${ended.kind} ended ${ended.state}: ${JSON.stringify(ended.reason)}`)
  return ended
}

export async function waitSet(
  client: Client,
  name: string,
  isSo: (set: SetView) => boolean,
): Promise<SetView> {
  return waitUntil(() => client.setShow({ params: { id: name } }), isSo, { what: `set ${name}` })
}
