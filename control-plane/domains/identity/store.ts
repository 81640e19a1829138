import type { ProjectRow, TokenRow, Touched, Tx } from '../../world/index.ts'

export async function insertProject(tx: Tx, touched: Touched, row: ProjectRow): Promise<void> {
  await tx.insertInto('project').values(row).execute()
  touched.touch('project', row.id)
}

export async function deleteProject(tx: Tx, touched: Touched, project: ProjectRow): Promise<void> {
  // Locked first, so that nothing is made in it meanwhile; and all that goes is named, so that no world keeps it.
  await tx.selectFrom('project').select('id').where('id', '=', project.id).forUpdate().execute()
  const tokens = await tx
    .deleteFrom('token')
    .where('projectId', '=', project.id)
    .returning('id')
    .execute()
  const operations = await tx
    .deleteFrom('operation')
    .where('projectId', '=', project.id)
    .returning('id')
    .execute()
  await tx.deleteFrom('project').where('id', '=', project.id).execute()
  for (const { id } of tokens) touched.touch('token', id)
  for (const { id } of operations) touched.touch('operation', id)
  touched.touch('project', project.id)
}

export async function insertToken(tx: Tx, touched: Touched, row: TokenRow): Promise<void> {
  await tx.insertInto('token').values(row).execute()
  touched.touch('token', row.id)
}

export async function revokeToken(
  tx: Tx,
  touched: Touched,
  change: { id: TokenRow['id']; atMs: number },
): Promise<void> {
  await tx
    .updateTable('token')
    .set({ revokedAtMs: change.atMs })
    .where('id', '=', change.id)
    .where('revokedAtMs', 'is', null)
    .execute()
  touched.touch('token', change.id)
}
