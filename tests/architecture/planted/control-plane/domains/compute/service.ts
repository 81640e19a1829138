export const compute = (tx) => tx.selectFrom('set').execute() // breaks: sql-in-store
