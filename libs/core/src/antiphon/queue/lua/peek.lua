#!lua flags=no-writes
-- What could be received now, by priority and arrival. Asked: the limit.
-- Returns place, deliveries and body of each.
local limit = unpack(asked)
local found = {}

-- The entries whose leases have ended, then those that nobody ever received; and how often each was delivered.
local function ready_entries(queue, wanted)
  local entries = {}
  local newest = '-'
  for _, group in ipairs(redis.call('EXISTS', queue.ready) == 1 and redis.call('XINFO', 'GROUPS', queue.ready) or {}) do
    if group[2] == GROUP then
      newest = '(' .. group[8] -- its last-delivered-id
      for _, pending in ipairs(redis.call('XPENDING', queue.ready, GROUP, 'IDLE', HORIZON - ahead, '-', '+', wanted)) do
        local entry = entry_of(queue.ready, pending[1])
        if entry then entries[#entries + 1] = {entry, pending[4]} end
      end
    end
  end
  if #entries < wanted then
    for _, entry in ipairs(redis.call('XRANGE', queue.ready, newest, '+', 'COUNT', wanted - #entries)) do
      entries[#entries + 1] = {entry, 0}
    end
  end
  return entries
end

for place, queue in ipairs(queues) do
  if #found < limit then
    for _, each in ipairs(ready_entries(queue, limit - #found)) do
      local message = read(each[1])
      found[#found + 1] = {place, message.deliveries + each[2], message.body}
    end
  end
  if #found < limit then
    local due = redis.call('ZRANGEBYSCORE', queue.delayed, '-inf', now, 'LIMIT', 0, limit - #found)
    for _, key in ipairs(due) do
      local deliveries, body = delayed_message(redis.call('HGET', living, key))
      if body then found[#found + 1] = {place, deliveries, body} end
    end
  end
end
return cmsgpack.pack(found)
