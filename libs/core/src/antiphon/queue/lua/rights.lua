#!lua flags=no-writes
-- Asked: commands, each as a list of words. Returns 1 for each that our user may run, else 0.
-- A command that does not exist (any more: `rename-command`) may not be run.
local commands = unpack(asked)
local allowed = {}
for i, command in ipairs(commands) do
  local known, may = pcall(redis.acl_check_cmd, unpack(command))
  allowed[i] = known and may and 1 or 0
end
return cmsgpack.pack(allowed)
