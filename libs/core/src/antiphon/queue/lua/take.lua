#!lua flags=allow-oom
-- Lease up to a limit of messages. A server that is full must let go of what it has: hence `allow-oom`.
-- Asked: limit, lease, the places in the order in which to look, and whether the receiver waits already.
-- Returns the messages, each {place, entry, count, deliveries before the entry was made, body}, and in how many ms to look
-- again if there are none.
local limit, lease, order, waits = unpack(asked)
local found = {}

-- Move messages whose delay is over to the ready stream, as many as could be wanted.
local function move_due(queue, place)
  local keys = redis.call('ZRANGEBYSCORE', queue.delayed, '-inf', now, 'LIMIT', 0, limit)
  if #keys == 0 then return end
  redis.call('ZREM', queue.delayed, unpack(keys))
  local homes, moved = redis.call('HMGET', living, unpack(keys)), {}
  for i, key in ipairs(keys) do
    local deliveries, body = delayed_message(homes[i])
    if body then
      moved[#moved + 1] = key
      moved[#moved + 1] = put(place, key, body, deliveries, 0)
    end
  end
  if #moved > 0 then redis.call('HSET', living, unpack(moved)) end
end

-- Find out when the first of all leases ends.
local function look_through_leases(queue)
  local after, first = '-', NEVER
  repeat
    local page = redis.call('XPENDING', queue.ready, GROUP, after, '+', 1000)
    for _, pending in ipairs(page) do first = math.min(first, now + HORIZON - ahead - pending[3]) end
    after = #page > 0 and '(' .. page[#page][1]
  until #page < 1000
  redis.call('SET', queue.lost, first)
end

-- Take over leases that have ended. All pending entries are looked through, so only when one may have ended.
local function claim(queue, wanted)
  local claimed, cursor = {}, '0-0'
  if first_end(queue) > now then return claimed end
  repeat
    local page = with_group(queue, 'XAUTOCLAIM', queue.ready, GROUP, CONSUMER, HORIZON - ahead, cursor,
      'COUNT', wanted - #claimed)
    cursor = page[1]
    for _, entry in ipairs(page[2]) do claimed[#claimed + 1] = entry end
  until cursor == '0-0' or #claimed == wanted
  if #claimed > 0 then hold(queue, claimed, lease) end
  if cursor == '0-0' then look_through_leases(queue) end
  return claimed
end

local function keep(place, entry, count)
  local message = read(entry)
  found[#found + 1] = {place, entry[1], count, message.deliveries, message.body}
end

for _, place in ipairs(order) do
  local queue, wanted = queues[place], limit - #found
  if wanted > 0 then
    move_due(queue, place)
    for _, entry in ipairs(claim(queue, wanted)) do
      keep(place, entry, redis.call('XPENDING', queue.ready, GROUP, entry[1], entry[1], 1)[1][4])
    end
    wanted = limit - #found
    if wanted > 0 then
      local page = with_group(queue, 'XREADGROUP', 'GROUP', GROUP, CONSUMER, 'COUNT', wanted, 'STREAMS', queue.ready, '>')
      if page then
        hold(queue, page[1][2], lease)
        for _, entry in ipairs(page[1][2]) do keep(place, entry, 1) end
      end
    end
    if #found < limit then redis.call('DEL', queue.bell) end -- nothing is left
  end
end

-- When a queue next has something that nobody sends: a delay that is over, a lease that ends.
local function next_time(queue)
  local due = redis.call('ZRANGE', queue.delayed, 0, 0, 'WITHSCORES')[2]
  return math.min(tonumber(due) or NEVER, first_end(queue))
end

local function anything_left(queue)
  return redis.call('XLEN', queue.ready) > with_group(queue, 'XPENDING', queue.ready, GROUP)[1]
end

local wait = LOOK
if #found == 0 then
  for _, place in ipairs(order) do
    wait = math.min(wait, math.max(next_time(queues[place]) - now, 0))
  end
elseif waits then
  -- it tells another one of what is left, and of what it alone may know to be due soon
  for _, place in ipairs(order) do
    local queue = queues[place]
    if next_time(queue) < now + LOOK or anything_left(queue) then ring(queue) end
  end
end
return cmsgpack.pack({found, wait})
