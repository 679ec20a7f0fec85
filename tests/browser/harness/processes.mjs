/** Ends a child that leads a process group of its own with SIGKILL, and all the processes that it has started. */
export async function killGroup(child) {
  const ended = child.exitCode ?? child.signalCode ?? new Promise((end) => child.once("exit", end));
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
  await ended;
}
