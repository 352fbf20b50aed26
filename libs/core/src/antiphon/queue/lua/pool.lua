-- What all scripts know of a pool; it stands before each of them.
-- KEYS[1]: a hash of the living messages, key -> home. Then, for each priority:
--   ready    stream of messages that wait or are leased, read by one group; its length is the backlog
--   delayed  sorted set of keys by the time at which they are due; the message is in its home
--   lost     string: no lease ends before this time (absent: nobody knows)
--   bell     sorted set of one member, for one idle receiver to take with BZPOPMIN; see `ring`
--   dead     stream of dead letters
-- A home is {place, entry of ready} or {place, '', deliveries, body} of a delayed message. A place is that of a priority.
-- ARGV: the list of what is asked (MessagePack), after how many ms at the latest a waiting receiver looks by itself, and
-- by how many ms the clock is to go forward, which is for tests. Times are in ms.
--
-- A lease is the idle time of a pending entry: HORIZON less the lease when it begins, so that entries whose idle time
-- passes HORIZON are those whose lease has ended, however long it was. One consumer stands for all receivers, since
-- the delivery count tells their receipts apart, and consumers of pods that come and go would pile up.
local GROUP, CONSUMER = 'receivers', 'receiver'
local HORIZON = 10 * 365 * 24 * 3600 * 1000
local NEVER = 9e15
local asked, LOOK, ahead = cmsgpack.unpack(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ahead
local living = KEYS[1]
local queues = {}
for first = 2, #KEYS, 5 do
  local ready, delayed, lost, bell, dead = unpack(KEYS, first, first + 4)
  queues[#queues + 1] = {ready = ready, delayed = delayed, lost = lost, bell = bell, dead = dead}
end

-- What an entry of a stream says: its message, if it is one of ours, or all its fields as JSON.
local function read(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local count = string.match(fields.deliveries or '', '^%d+$')
  local deliveries = count and #count < 10 and tonumber(count) or 0
  return {key = fields.key or '', body = fields.body or cjson.encode(entry[2]), deliveries = deliveries}
end

local function entry_of(stream, id)
  return redis.call('XRANGE', stream, id, id)[1]
end

-- Call a command that needs the group, which is made where it is missing (a new pool, FLUSHALL).
local function with_group(queue, command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err and string.find(answer.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', queue.ready, GROUP, '0', 'MKSTREAM')
    return redis.call(command, ...)
  end
  if type(answer) == 'table' and answer.err then error(answer) end
  return answer
end

-- How often the entry was delivered, if the receipt's lease still is the last one; XACK alone would not ask.
local function held(queue, entry, count)
  local pending = with_group(queue, 'XPENDING', queue.ready, GROUP, entry, entry, 1)[1]
  return pending ~= nil and pending[4] == count
end

-- The bell rings while there is something for an idle receiver: a message, or a time sooner than it will look by itself.
local function ring(queue)
  redis.call('ZADD', queue.bell, 0, 'rung')
end

-- No lease ends before this time, which may have passed.
local function first_end(queue)
  return tonumber(redis.call('GET', queue.lost) or 0)
end

-- Let entries that are ours be so for a lease from now.
local function hold(queue, entries, lease)
  local ids = {}
  for _, entry in ipairs(entries) do ids[#ids + 1] = entry[1] end
  ids[#ids + 1] = 'IDLE'
  ids[#ids + 1] = HORIZON - ahead - lease
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', queue.ready, GROUP, CONSUMER, 0, unpack(ids))
  if first_end(queue) > now + lease then
    redis.call('SET', queue.lost, now + lease)
    if lease < LOOK then ring(queue) end
  end
end

-- Make a message wait; its home.
local function put(place, key, body, deliveries, delay)
  local queue = queues[place]
  if delay < LOOK and not queue.rung then
    ring(queue)
    queue.rung = true
  end
  if delay > 0 then
    redis.call('ZADD', queue.delayed, now + delay, key)
    return cmsgpack.pack({place, '', deliveries, body})
  end
  return cmsgpack.pack({place, redis.call('XADD', queue.ready, '*', 'key', key, 'body', body, 'deliveries', deliveries)})
end

-- Deliveries and body of the delayed message that has this home, if it has one.
local function delayed_message(home)
  local _, entry, deliveries, body = unpack(home and cmsgpack.unpack(home) or {})
  if entry == '' then return deliveries, body end
end

-- Take entries out of the ready stream.
local function remove(queue, entries)
  redis.call('XACK', queue.ready, GROUP, unpack(entries))
  redis.call('XDEL', queue.ready, unpack(entries))
end

-- Whether a home has its message still: keys outlive a stream that somebody deletes.
local function inhabited(key, home)
  local place, entry = unpack(cmsgpack.unpack(home))
  local queue = queues[place]
  if entry == '' then return redis.call('ZSCORE', queue.delayed, key) ~= false end
  return entry_of(queue.ready, entry) ~= nil
end
