import type { ProjectRow, TokenRow, Touched, Tx } from '../../world/index.ts'

export async function insertProject(tx: Tx, touched: Touched, row: ProjectRow): Promise<void> {
  await tx.insertInto('project').values(row).execute()
  touched.touch('project', row.id)
}

export async function deleteProject(
  tx: Tx,
  touched: Touched,
  project: ProjectRow,
  tokenIds: readonly string[],
): Promise<void> {
  await tx.deleteFrom('token').where('projectId', '=', project.id).execute()
  await tx.deleteFrom('project').where('id', '=', project.id).execute()
  for (const id of tokenIds) touched.touch('token', id)
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
