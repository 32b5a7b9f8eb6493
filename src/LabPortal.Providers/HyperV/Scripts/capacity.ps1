param($in)
$found = Get-VMHost
$null = [IO.Directory]::CreateDirectory($in.folder)
$drive = [IO.DriveInfo]([IO.Path]::GetPathRoot($in.folder))
@{ cpu = [int]$found.LogicalProcessorCount; memoryBytes = [long]$found.MemoryCapacity; diskBytes = $drive.TotalSize; diskFreeBytes = $drive.AvailableFreeSpace }
