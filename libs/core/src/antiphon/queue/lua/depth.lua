#!lua flags=no-writes
-- Returns available, in flight, delayed and dead of each priority.
local depths = {}

-- How many leases have ended, of which nobody has taken the messages yet.
local function lost(queue)
  local count, after = 0, '-'
  repeat
    local page = redis.call('XPENDING', queue.ready, GROUP, 'IDLE', HORIZON - ahead, after, '+', 1000)
    count = count + #page
    after = #page > 0 and '(' .. page[#page][1]
  until #page < 1000
  return count
end

for place, queue in ipairs(queues) do
  local leased = 0
  local pending = redis.pcall('XPENDING', queue.ready, GROUP)
  if not pending.err then leased = pending[1] - lost(queue) end
  local due = redis.call('ZCOUNT', queue.delayed, '-inf', now)
  local waiting = math.max(0, redis.call('XLEN', queue.ready) - leased)
  depths[place] = {waiting + due, leased, redis.call('ZCARD', queue.delayed) - due, redis.call('XLEN', queue.dead)}
end
return cmsgpack.pack(depths)
