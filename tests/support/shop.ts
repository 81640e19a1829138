import type { TestContext } from 'node:test'
import { everywhere, importRootfs, makeNetwork, makeProject, type TestProject } from './project.ts'
import { TestRegion } from './region.ts'

/** A region with a project `shop` that has a network `net` and an image `web`; every server knows them. */
export async function openShop(
  context: TestContext,
): Promise<{ region: TestRegion; shop: TestProject }> {
  const region = await TestRegion.open(context)
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  await everywhere(region)
  return { region, shop }
}
