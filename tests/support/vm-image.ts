import { newId, type ProjectId } from '@nubo/base'
import { commit } from '@nubo/control-plane'
import { systemClock, systemRandom } from '@nubo/runtime'
import { everywhere, type TestProject } from './project.ts'
import type { TestRegion } from './region.ts'

/**
 * Records an image that a VM starts from, as its import would: a kernel with its initial file system, whose layers no
 * registry has. Every server knows it afterwards.
 */
export async function recordKernelImage(
  region: TestRegion,
  project: Pick<TestProject, 'id'>,
  name: string,
): Promise<void> {
  const id = newId<'image'>(systemClock, systemRandom)
  const row = {
    id,
    // proof: given out by the region
    projectId: project.id as ProjectId,
    name,
    repository: `${project.id}/${name}`,
    digest: `sha256:${'5'.repeat(64)}`,
    sizeBytes: 1,
    layers: 2,
    source: 'kernel',
    kind: 'kernel',
    command: '[]',
    disk: JSON.stringify({ virtualBytes: 0, commandLine: 'console=ttyS0' }),
    createdAtMs: systemClock.nowMs(),
    uploadDigest: null,
  } as const
  const { database } = region.server(0)
  const { revision } = await commit({ database, clock: systemClock }, async (tx, touched) => {
    await tx.insertInto('image').values(row).execute()
    touched.touch('image', id)
  })
  await everywhere(region, revision)
}
