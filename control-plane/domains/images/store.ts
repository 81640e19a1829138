import type { ImageRow, Touched, Tx } from '../../world/index.ts'

export async function insertImage(tx: Tx, touched: Touched, row: ImageRow): Promise<void> {
  await tx
    .insertInto('image')
    .values({ ...row, command: JSON.stringify(row.command) })
    .execute()
  touched.touch('image', row.id)
}

/** Locked, so that a set that is being created cannot take an image that is being removed. */
export async function isUsed(tx: Tx, id: ImageRow['id']): Promise<boolean> {
  await tx.selectFrom('image').select('id').where('id', '=', id).forUpdate().execute()
  const sets = await tx.selectFrom('set').select('containers').execute()
  return sets.some((set) => set.containers.some((container) => container.imageId === id))
}

export async function deleteImage(tx: Tx, touched: Touched, id: ImageRow['id']): Promise<void> {
  await tx.deleteFrom('image').where('id', '=', id).execute()
  touched.touch('image', id)
}
